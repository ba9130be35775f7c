//! The part of WHERE that a database decides exactly as [`crate::run`] does: whole numbers of its own columns,
//! compared with whole numbers.

use culvert_api::{Column, Comparison, Condition};
use datafusion_sql::sqlparser::ast::{BinaryOperator, Expr as Ast, UnaryOperator, Value};

use crate::translate::Translator;

/// An expression as such a condition; `None` where anything in it is something else.
pub(crate) fn common_condition(translator: &Translator<'_>, expression: &Ast) -> Option<Condition> {
    let column = |side: &Ast| column_of(translator, side);
    match expression {
        Ast::Nested(inner) => common_condition(translator, inner),
        Ast::BinaryOp { left, op: BinaryOperator::And, right } => {
            Condition::all(vec![common_condition(translator, left)?, common_condition(translator, right)?])
        }
        Ast::BinaryOp { left, op: BinaryOperator::Or, right } => {
            Condition::any(vec![common_condition(translator, left)?, common_condition(translator, right)?])
        }
        Ast::BinaryOp { left, op, right } => {
            let comparison = comparison_of(op)?;
            match number_of(right) {
                Some(number) => Condition::compare(column(left)?, comparison, number),
                None => Condition::compare(column(right)?, comparison.flipped(), number_of(left)?),
            }
        }
        Ast::Between { expr, negated, low, high } => {
            let (column, low, high) = (column(expr)?, number_of(low)?, number_of(high)?);
            let ends = |below, above| {
                Some(vec![Condition::compare(column, below, low)?, Condition::compare(column, above, high)?])
            };
            match negated {
                false => Condition::all(ends(Comparison::GreaterOrEqual, Comparison::LessOrEqual)?),
                true => Condition::any(ends(Comparison::Less, Comparison::Greater)?),
            }
        }
        Ast::InList { expr, list, negated } => {
            let column = column(expr)?;
            let comparison = if *negated { Comparison::NotEqual } else { Comparison::Equal };
            let each = list.iter().map(|item| Condition::compare(column, comparison, number_of(item)?));
            let each = each.collect::<Option<Vec<_>>>()?;
            if *negated { Condition::all(each) } else { Condition::any(each) }
        }
        Ast::IsNull(inner) => Condition::null(column(inner)?, true),
        Ast::IsNotNull(inner) => Condition::null(column(inner)?, false),
        _ => None,
    }
}

fn column_of<'t>(translator: &Translator<'t>, side: &Ast) -> Option<&'t Column> {
    let place = translator.column(side).ok().flatten()?;
    translator.schema.columns.get(place)
}

fn comparison_of(operator: &BinaryOperator) -> Option<Comparison> {
    Some(match operator {
        BinaryOperator::Eq => Comparison::Equal,
        BinaryOperator::NotEq => Comparison::NotEqual,
        BinaryOperator::Lt => Comparison::Less,
        BinaryOperator::LtEq => Comparison::LessOrEqual,
        BinaryOperator::Gt => Comparison::Greater,
        BinaryOperator::GtEq => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

/// A whole number as it is written, with its sign.
fn number_of(expression: &Ast) -> Option<i64> {
    match expression {
        Ast::Nested(inner) => number_of(inner),
        Ast::UnaryOp { op: UnaryOperator::Minus, expr } => number_of(expr)?.checked_neg(),
        Ast::Value(value) => match &value.value {
            Value::Number(digits, false) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok()
            }
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests;
