//! Expressions as they are written, as expressions of DataFusion over one table's columns.
//!
//! The nodes are made here and not by DataFusion's own planner: the types of literals, of arithmetic and of
//! casts are SeaTunnel's, and a name is looked up as SeaTunnel does.

use arrow_schema::{DataType, TimeUnit};
use culvert_api::{Error, ErrorKind, Result, TableSchema};
use culvert_config::nearest;
use datafusion_common::{Column, ScalarValue};
use datafusion_expr::expr::{InList, Like};
use datafusion_expr::{Case, Expr, Operator, Volatility, binary_expr, lit};
use datafusion_sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType as Written, Expr as Ast, TimezoneInfo, TypedString, UnaryOperator,
    Value,
};

use crate::arithmetic::Op;
use crate::cast::{self, Mode, is_possible, name_of, named_type, read_timestamp};
use crate::compare::{Literal, Typed, arithmetic, call, comparable, in_one_type, text_as};
use crate::function::{Known, Named, Returns};
use crate::functions;
use crate::moment::Zone;
use crate::nested::{self, inside};
use crate::query::{Call, bare_column, call_of, names_of, parts_of};

/// The column that holds the moment of a batch, for NOW() and its relatives: all of a batch sees one.
pub(crate) const NOW: &str = "\0now";

/// The type of [`NOW`].
pub(crate) const NOW_TYPE: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// Translates expressions over the columns of one table.
pub(crate) struct Translator<'a> {
    pub(crate) schema: &'a TableSchema,
    /// The name behind FROM.
    pub(crate) from: &'a str,
}

/// A query that does not fit the table.
fn misfit(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Schema, what)
}

impl Translator<'_> {
    /// The place of the column that an expression is, where it is one and nothing more.
    pub(crate) fn column(&self, ast: &Ast) -> Result<Option<usize>> {
        let path = self.path(ast)?;
        Ok(path.and_then(|(place, inside)| inside.is_empty().then_some(place)))
    }

    /// The place of the column that names lead to, and the names that lead into its values.
    fn path<'q>(&self, ast: &'q Ast) -> Result<Option<(usize, Vec<&'q str>)>> {
        match ast {
            Ast::Nested(inner) => self.path(inner),
            Ast::Function(function) => {
                let column = bare_column(function).map(|name| self.place(&name.value)).transpose()?;
                Ok(column.map(|place| (place, Vec::new())))
            }
            _ => names_of(ast).map(|names| self.resolved(ast, &names)).transpose(),
        }
    }

    /// The table's name may stand in front. What lies in a column of this name comes after that.
    fn resolved<'q>(&self, ast: &Ast, names: &[&'q str]) -> Result<(usize, Vec<&'q str>)> {
        let is_table = |name: &str| {
            name.eq_ignore_ascii_case(self.from) || name.eq_ignore_ascii_case(&self.schema.id.table)
        };
        match names {
            [name] => Ok((self.place(name)?, Vec::new())),
            [table, name, inside @ ..]
                if is_table(table)
                    && (self.schema.column_index(name).is_some()
                        || self.schema.column_index(table).is_none()) =>
            {
                Ok((self.place(name)?, inside.to_vec()))
            }
            [name, inside @ ..] if self.schema.column_index(name).is_some() => {
                Ok((self.place(name)?, inside.to_vec()))
            }
            _ => Err(misfit(format!("there is no table before `{ast}` in this query"))
                .hint(format!("write the column alone, or `{}` before it", self.from))),
        }
    }

    fn place(&self, name: &str) -> Result<usize> {
        self.schema.column_index(name).ok_or_else(|| {
            let error = misfit(format!("there is no column `{name}`")).context("column", name);
            let names: Vec<&str> = self.schema.columns.iter().map(|column| column.name.as_str()).collect();
            match nearest(name, names.iter().copied()) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint(format!("the columns are {}", names.join(", "))),
            }
        })
    }

    /// A condition.
    pub(crate) fn condition(&self, ast: &Ast) -> Result<Expr> {
        let typed = self.expression(ast)?;
        match typed.data_type {
            DataType::Boolean => Ok(typed.expr),
            DataType::Null => Ok(lit(ScalarValue::Boolean(None))),
            other => Err(misfit(format!("`{ast}` is a {} and no condition", name_of(&other)))
                .hint("compare it with something")),
        }
    }

    /// A value.
    pub(crate) fn expression(&self, ast: &Ast) -> Result<Typed> {
        // Of the table, as the query names it in an error.
        let of = |made: Result<Typed, String>| made.map_err(|why| misfit(format!("`{ast}`: {why}")));
        if let Some((place, names)) = self.path(ast)? {
            let column = self.schema.columns.get(place).ok_or_else(|| misfit("a column is missing"))?;
            let expr = Expr::Column(Column::new_unqualified(&column.name));
            return of(inside(Typed::new(expr, column.data_type.clone()), &names));
        }
        if let Some(call) = call_of(ast)? {
            return self.function(ast, &call);
        }
        match ast {
            Ast::Nested(inner) => self.expression(inner),
            Ast::Value(value) => of(literal(&value.value)),
            Ast::TypedString(typed) => of(typed_literal(typed)),
            Ast::UnaryOp { op, expr } => self.unary(ast, *op, expr),
            Ast::BinaryOp { left, op, right } => self.binary(ast, left, op, right),
            Ast::IsNull(inner) => Ok(truth(self.expression(inner)?.expr.is_null())),
            Ast::IsNotNull(inner) => Ok(truth(self.expression(inner)?.expr.is_not_null())),
            Ast::IsTrue(inner) => Ok(truth(self.condition(inner)?.is_true())),
            Ast::IsNotTrue(inner) => Ok(truth(self.condition(inner)?.is_not_true())),
            Ast::IsFalse(inner) => Ok(truth(self.condition(inner)?.is_false())),
            Ast::IsNotFalse(inner) => Ok(truth(self.condition(inner)?.is_not_false())),
            Ast::Between { expr, negated, low, high } => {
                let low = self.compared(expr, Operator::GtEq, low)?;
                let high = self.compared(expr, Operator::LtEq, high)?;
                let within = low.and(high);
                Ok(truth(if *negated { Expr::Not(Box::new(within)) } else { within }))
            }
            Ast::InList { expr, list, negated } => self.in_list(expr, list, *negated),
            Ast::Like { negated, expr, pattern, escape_char, .. } => {
                if escape_char
                    .as_ref()
                    .is_some_and(|escape| escape.value != Value::SingleQuotedString("\\".into()))
                {
                    return Err(misfit(format!("`{ast}`: the escape character of LIKE is the backslash")));
                }
                let text = |side: &Ast| self.as_text(side).map(|typed| Box::new(typed.expr));
                Ok(truth(Expr::Like(Like::new(*negated, text(expr)?, text(pattern)?, None, false))))
            }
            Ast::Case { operand, conditions, else_result, .. } => {
                let mut branches = Vec::new();
                for branch in conditions {
                    let condition = match operand {
                        Some(operand) => self.compared(operand, Operator::Eq, &branch.condition)?,
                        None => self.condition(&branch.condition)?,
                    };
                    branches.push((condition, self.expression(&branch.result)?));
                }
                let otherwise = else_result.as_ref().map(|result| self.expression(result)).transpose()?;
                of(case(branches, otherwise))
            }
            Ast::Cast { kind, expr, data_type, .. } => {
                let mode = if *kind == CastKind::Cast { Mode::Strict } else { Mode::Try };
                of(casted(self.expression(expr)?, data_type, mode))
            }
            other => {
                // Judged when the query was read.
                parts_of(other)?;
                Err(misfit(format!("the expression `{other}` is not supported")))
            }
        }
    }

    fn as_text(&self, ast: &Ast) -> Result<Typed> {
        let typed = self.expression(ast)?;
        match cast::is_plain(&typed.data_type) && !cast::is_binary(&typed.data_type) {
            true => Ok(typed.cast(&DataType::Utf8, Mode::Strict)),
            false => Err(misfit(format!("`{ast}` is a {} and no text", name_of(&typed.data_type)))
                .hint("bring it to STRING with CAST")),
        }
    }

    fn unary(&self, ast: &Ast, op: UnaryOperator, inner: &Ast) -> Result<Typed> {
        let of = |made: Result<Typed, String>| made.map_err(|why| misfit(format!("`{ast}`: {why}")));
        match op {
            UnaryOperator::Not => Ok(truth(Expr::Not(Box::new(self.condition(inner)?)))),
            UnaryOperator::Plus => self.expression(inner),
            UnaryOperator::Minus => {
                let typed = self.expression(inner)?;
                match &typed.literal {
                    Some(Literal::Number(text)) if !text.starts_with('-') => {
                        of(Typed::number(&format!("-{text}")))
                    }
                    _ => of(arithmetic(Op::Negate, typed.clone(), typed)),
                }
            }
            other => Err(misfit(format!("`{ast}`: the operator {other} is not supported"))),
        }
    }

    fn binary(&self, ast: &Ast, left: &Ast, op: &BinaryOperator, right: &Ast) -> Result<Typed> {
        let computed = |op: Op| -> Result<Typed> {
            arithmetic(op, self.expression(left)?, self.expression(right)?)
                .map_err(|why| misfit(format!("`{ast}`: {why}")))
        };
        let compared = |op: Operator| self.compared(left, op, right).map(truth);
        match op {
            BinaryOperator::Plus => computed(Op::Add),
            BinaryOperator::Minus => computed(Op::Subtract),
            BinaryOperator::Multiply => computed(Op::Multiply),
            BinaryOperator::Divide => computed(Op::Divide),
            BinaryOperator::Modulo => computed(Op::Remainder),
            BinaryOperator::Eq => compared(Operator::Eq),
            BinaryOperator::NotEq => compared(Operator::NotEq),
            BinaryOperator::Lt => compared(Operator::Lt),
            BinaryOperator::LtEq => compared(Operator::LtEq),
            BinaryOperator::Gt => compared(Operator::Gt),
            BinaryOperator::GtEq => compared(Operator::GtEq),
            BinaryOperator::And => {
                Ok(truth(guarded(self.condition(left)?, Operator::And, self.condition(right)?)))
            }
            BinaryOperator::Or => {
                Ok(truth(guarded(self.condition(left)?, Operator::Or, self.condition(right)?)))
            }
            BinaryOperator::StringConcat => {
                let sides = vec![self.as_text(left)?, self.as_text(right)?];
                named("||", sides).map_err(|why| misfit(format!("`{ast}`: {why}")))
            }
            other => Err(misfit(format!("`{ast}`: the operator {other} is not supported"))),
        }
    }

    /// `left op right`, a condition.
    fn compared(&self, left: &Ast, op: Operator, right: &Ast) -> Result<Expr> {
        let sides = comparable(self.expression(left)?, self.expression(right)?);
        let (left, right) = sides.map_err(|why| misfit(format!("`{left} {op} {right}`: {why}")))?;
        Ok(binary_expr(left, op, right))
    }

    fn in_list(&self, expr: &Ast, list: &[Ast], negated: bool) -> Result<Typed> {
        let value = self.expression(expr)?;
        let mut items = Vec::new();
        let mut plain = true;
        for item in list {
            let sides = comparable(value.clone(), self.expression(item)?);
            let (left, right) = sides.map_err(|why| misfit(format!("`{expr} IN (… {item} …)`: {why}")))?;
            // One list can only be searched when no item makes the value another one.
            plain &= left == value.expr && matches!(right, Expr::Literal(_, _));
            items.push((left, right));
        }
        if plain {
            let list = items.into_iter().map(|(_, item)| item).collect();
            return Ok(truth(Expr::InList(InList::new(Box::new(value.expr), list, negated))));
        }
        let equal = items.into_iter().map(|(left, right)| binary_expr(left, Operator::Eq, right));
        let any = equal.reduce(Expr::or).unwrap_or_else(|| lit(false));
        Ok(truth(if negated { Expr::Not(Box::new(any)) } else { any }))
    }

    fn function(&self, ast: &Ast, call: &Call<'_>) -> Result<Typed> {
        let mut args = Vec::new();
        // The conditions of MULTI_IF stand at every other place.
        for (place, argument) in call.arguments.iter().enumerate() {
            let condition = call.name == "MULTI_IF" && place % 2 == 0 && place + 1 < call.arguments.len();
            args.push(match condition {
                true => truth(self.condition(argument)?),
                false => self.expression(argument)?,
            });
        }
        let made = match special(&call.name, args) {
            Ok(made) => made,
            Err(args) => named(&call.name, args),
        };
        made.map_err(|why| misfit(format!("`{ast}`: {why}")).context("function", &call.name))
    }
}

fn truth(expr: Expr) -> Typed {
    Typed::new(expr, DataType::Boolean)
}

/// `left AND right`, `left OR right`. What can fail is only computed for the rows that `left` leaves open, as a
/// reader of `b <> 0 AND a / b > 1` expects.
fn guarded(left: Expr, op: Operator, right: Expr) -> Expr {
    let both = binary_expr(left.clone(), op, right.clone());
    if !can_fail(&right) {
        return both;
    }
    let (decided, result) = match op {
        Operator::And => (left.is_false(), false),
        _ => (left.is_true(), true),
    };
    Expr::Case(Case::new(None, vec![(Box::new(decided), Box::new(lit(result)))], Some(Box::new(both))))
}

/// Whether a row can make an expression fail.
pub(crate) fn can_fail(expr: &Expr) -> bool {
    use datafusion_common::tree_node::TreeNode;
    expr.exists(|node| Ok(matches!(node, Expr::ScalarFunction(_) | Expr::Cast(_)))).unwrap_or(true)
}

fn case(branches: Vec<(Expr, Typed)>, otherwise: Option<Typed>) -> Result<Typed, String> {
    let null = || Typed::constant(ScalarValue::Null);
    let (conditions, mut results): (Vec<Expr>, Vec<Typed>) = branches.into_iter().unzip();
    results.push(otherwise.unwrap_or_else(null));
    let (mut results, data_type) = in_one_type(results, "results of one CASE")?;
    let otherwise = results.pop().map(Box::new);
    let branches = conditions.into_iter().map(Box::new).zip(results.into_iter().map(Box::new)).collect();
    Ok(Typed::new(Expr::Case(Case::new(None, branches, otherwise)), data_type))
}

fn casted(typed: Typed, written: &Written, mode: Mode) -> Result<Typed, String> {
    let to = named_type(written)
        .ok_or_else(|| format!("there is no type {written} to cast to; there are {}", cast::TYPES))?;
    match is_possible(&typed.data_type, &to) {
        true => Ok(typed.cast(&to, mode)),
        false => Err(format!("a {} cannot become a {}", name_of(&typed.data_type), name_of(&to))),
    }
}

fn literal(value: &Value) -> Result<Typed, String> {
    match value {
        Value::Number(text, _) => Typed::number(text),
        Value::SingleQuotedString(text) | Value::NationalStringLiteral(text) => Ok(Typed::text(text)),
        Value::Boolean(value) => Ok(Typed::constant(ScalarValue::from(*value))),
        Value::Null => Ok(Typed::constant(ScalarValue::Null)),
        Value::HexStringLiteral(hex) => {
            let digit = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
            let bytes: Option<Vec<u8>> = hex.as_bytes().chunks(2).map(digit).collect();
            match bytes {
                Some(bytes) if hex.len() % 2 == 0 => Ok(Typed::constant(ScalarValue::Binary(Some(bytes)))),
                _ => Err("two hexadecimal digits per byte are wanted".to_owned()),
            }
        }
        other => Err(format!("a literal like {other} is not supported")),
    }
}

/// `DATE '…'`, `TIME '…'`, `TIMESTAMP '…'`, `TIMESTAMPTZ '…'`.
fn typed_literal(typed: &TypedString) -> Result<Typed, String> {
    let text = typed.value.clone().into_string().unwrap_or_default();
    let zoned = match &typed.data_type {
        Written::Timestamp(_, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => true,
        Written::Custom(name, _) => name.to_string().eq_ignore_ascii_case("TIMESTAMPTZ"),
        _ => false,
    };
    if zoned {
        let wrong = || format!("'{text}' is no timestamp with a zone, like 2025-05-21T17:57:40+08:00");
        let cut = text.rfind(['+', '-', 'Z']).ok_or_else(wrong)?;
        let (clock, name) = text.split_at_checked(cut).ok_or_else(wrong)?;
        let clock = read_timestamp(clock.trim_end()).ok_or_else(wrong)?;
        let moment = Zone::parse(name).and_then(|zone| zone.moment(clock)).ok_or_else(wrong)?;
        let micros = moment.and_utc().timestamp_micros();
        return Ok(Typed::constant(ScalarValue::TimestampMicrosecond(Some(micros), Some(name.into()))));
    }
    let data_type =
        named_type(&typed.data_type).ok_or_else(|| format!("there is no type {}", typed.data_type))?;
    text_as(&text, &data_type)
}

/// Functions that choose among their arguments or give another value at every call. `Err` gives the arguments
/// back where it is none of them.
fn special(name: &str, mut args: Vec<Typed>) -> Result<Result<Typed, String>, Vec<Typed>> {
    let now = || Typed::new(Expr::Column(Column::new_unqualified(NOW)), NOW_TYPE);
    Ok(match name {
        "COALESCE" | "IFNULL" => coalesce(args),
        "NULLIF" => {
            let (Some(right), Some(left)) = (args.pop(), args.pop()) else { return Err(args) };
            let null = Typed::constant(ScalarValue::Null).cast(&left.data_type, Mode::Strict);
            comparable(left.clone(), right).and_then(|(one, other)| {
                case(vec![(binary_expr(one, Operator::Eq, other), null)], Some(left))
            })
        }
        "MULTI_IF" => {
            if args.len().is_multiple_of(2) {
                return Ok(Err(
                    "MULTI_IF takes conditions and values in turn, and a value at the end".to_owned()
                ));
            }
            let otherwise = args.pop();
            let mut branches = Vec::new();
            let mut rest = args.into_iter();
            while let (Some(condition), Some(value)) = (rest.next(), rest.next()) {
                branches.push((condition.expr, value));
            }
            case(branches, otherwise)
        }
        "MOD" => {
            let (Some(right), Some(left)) = (args.pop(), args.pop()) else { return Err(args) };
            let to = if right.is_null() { DataType::Int32 } else { right.data_type.clone() };
            arithmetic(Op::Remainder, left, right).map(|rest| rest.cast(&to, Mode::Strict))
        }
        "ARRAY" => nested::array(args),
        "MAP" => nested::map(args),
        "PI" => Ok(Typed::constant(ScalarValue::from(std::f64::consts::PI))),
        "UUID" => Ok(Typed::new(datafusion_functions::string::uuid().call(Vec::new()), DataType::Utf8)),
        "RAND" | "RANDOM" if args.is_empty() => {
            Ok(Typed::new(datafusion_functions::math::random().call(Vec::new()), DataType::Float64))
        }
        "RAND" | "RANDOM" => named("RAND(seed)", args),
        "NOW" | "CURRENT_TIMESTAMP" => Ok(now()),
        "CURRENT_DATE" => Ok(now().cast(&DataType::Date32, Mode::Strict)),
        "CURRENT_TIME" => Ok(now().cast(&DataType::Time64(TimeUnit::Microsecond), Mode::Strict)),
        _ => return Err(args),
    })
}

/// The first value that is not NULL, in the type of the first argument.
fn coalesce(args: Vec<Typed>) -> Result<Typed, String> {
    let data_type = args.iter().map(|arg| &arg.data_type).find(|data_type| !data_type.is_null()).cloned();
    let data_type = data_type.unwrap_or(DataType::Utf8);
    let mut branches = Vec::new();
    for arg in args {
        if !is_possible(&arg.data_type, &data_type) {
            return Err(format!("a {} cannot become a {}", name_of(&arg.data_type), name_of(&data_type)));
        }
        let known = arg.expr.clone().is_not_null();
        branches.push((known, arg.cast(&data_type, Mode::Strict)));
    }
    let otherwise = branches.pop().map(|(_, last)| last);
    match branches.is_empty() {
        true => otherwise.ok_or_else(|| "an argument is missing".to_owned()),
        false => case(branches, otherwise),
    }
}

/// A function of [`functions`].
fn named(name: &str, args: Vec<Typed>) -> Result<Typed, String> {
    let def = functions::find(name).ok_or_else(|| format!("there is no function {name}"))?;
    for (place, arg) in args.iter().enumerate() {
        let take = def.take(place);
        if !take.accepts(&arg.data_type) {
            let hint = match (take, &arg.data_type) {
                (crate::function::Take::Moment, text) if cast::is_text(text) => {
                    "; read it with PARSEDATETIME or CAST"
                }
                _ => "; bring it there with CAST",
            };
            let (number, given, wanted) = (place + 1, name_of(&arg.data_type), take.wanted());
            return Err(format!("argument {number} of {name} is a {given}, and {wanted} is wanted{hint}"));
        }
    }
    let returns = match &def.returns {
        Returns::Is(data_type) => data_type.clone(),
        Returns::From(judge) => {
            let known: Vec<Known> = args
                .iter()
                .map(|arg| Known {
                    data_type: arg.data_type.clone(),
                    literal: arg.literal.as_ref().map(|literal| match literal {
                        Literal::Text(text) | Literal::Number(text) => text.clone(),
                    }),
                })
                .collect();
            judge(&known)?
        }
    };
    let args = args.into_iter().map(|arg| arg.expr).collect();
    Ok(call(Named(def), args, returns, Volatility::Immutable))
}
