//! The query as it is written: read once, and judged without knowing any table.

use std::borrow::Cow;

use culvert_api::{Error, ErrorKind, Result};
use culvert_config::nearest;
use datafusion_sql::sqlparser::ast::{
    AccessExpr, CastKind, CeilFloorKind, DateTimeField, Distinct, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, ObjectName, Query as Ast, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, Statement, Subscript, TableFactor, TableWithJoins,
    TrimWhereField, Value, WildcardAdditionalOptions,
};
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::parser::{Parser, ParserError};
use datafusion_sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::functions;

/// One item of the select list.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// `*`: every column, in order.
    All,
    /// An expression, and the name its column gets.
    One {
        expression: Expr,
        /// As written behind AS; otherwise the expression's text, or the column's name.
        alias: Option<String>,
    },
}

/// A SELECT that the transform can run, as far as one can tell without a table.
#[derive(Debug)]
pub(crate) struct Query {
    /// The name behind FROM, which may stand before a column, too.
    pub(crate) from: String,
    pub(crate) items: Vec<Item>,
    pub(crate) filter: Option<Expr>,
}

/// What is not there, and why; the hint says what to do instead.
fn refused(what: &str, hint: &str) -> Error {
    Error::new(ErrorKind::Config, format!("option `query`: {what}")).hint(hint)
}

impl Query {
    /// Reads and judges a query.
    pub(crate) fn parse(text: &str) -> Result<Query> {
        let statements = statements(text).map_err(|cause| {
            refused(&format!("not a statement of SQL: {cause}"), "docs/sql.md has what a query can say")
        })?;
        let [statement] = statements.as_slice() else {
            return Err(refused("one SELECT is wanted", "write one Sql block per query"));
        };
        let Statement::Query(query) = statement else {
            return Err(refused(
                "only SELECT is supported: a transform changes rows on their way",
                "sinks write; write SELECT … FROM … [WHERE …]",
            ));
        };
        let select = select_of(query)?;
        let from = from_of(&select.from)?;
        let mut items = Vec::new();
        for item in &select.projection {
            items.push(item_of(item, &from)?);
        }
        let query = Query { from, items, filter: select.selection.clone() };
        query.judge()?;
        Ok(query)
    }

    /// Whether `*` is among the items: columns leave that the query does not name.
    pub(crate) fn has_wildcard(&self) -> bool {
        self.items.iter().any(|item| matches!(item, Item::All))
    }

    /// Every expression: functions exist and get as many arguments as they take, and nothing is asked that is
    /// not there.
    fn judge(&self) -> Result<()> {
        for item in &self.items {
            if let Item::One { expression, .. } = item {
                judge(expression)?;
            }
        }
        self.filter.as_ref().map_or(Ok(()), judge)
    }
}

/// What a text says. `ARRAY(1, 2)` is a function here; the parser would look for a SELECT between the parentheses.
fn statements(text: &str) -> Result<Vec<Statement>, ParserError> {
    let dialect = GenericDialect {};
    let mut tokens = Tokenizer::new(&dialect, text).tokenize_with_location()?;
    for token in &mut tokens {
        if let Token::Word(word) = &mut token.token
            && word.keyword == Keyword::ARRAY
        {
            word.keyword = Keyword::NoKeyword;
        }
    }
    Parser::new(&dialect).with_tokens_with_locations(tokens).parse_statements()
}

/// The plain SELECT inside, when it is one.
fn select_of(query: &Ast) -> Result<&Select> {
    if query.with.is_some() {
        return Err(refused(
            "WITH is not supported",
            "write one SELECT, and a second Sql block for a second step",
        ));
    }
    if query.order_by.is_some() {
        return Err(refused(
            "ORDER BY is not supported: a stream has no end to sort at",
            "drop it; rows keep their order",
        ));
    }
    if query.limit_clause.is_some() || query.fetch.is_some() {
        return Err(refused(
            "LIMIT, OFFSET and FETCH are not supported: a stream has no end",
            "choose rows with WHERE",
        ));
    }
    if !query.locks.is_empty() || query.for_clause.is_some() || !query.pipe_operators.is_empty() {
        return Err(refused(
            "what stands behind the SELECT is not supported",
            "write SELECT … FROM … [WHERE …]",
        ));
    }
    if query.settings.is_some() || query.format_clause.is_some() {
        return Err(refused("SETTINGS and FORMAT are not supported", "write SELECT … FROM … [WHERE …]"));
    }
    let select = match query.body.as_ref() {
        SetExpr::Select(select) => select.as_ref(),
        SetExpr::SetOperation { op, .. } => {
            return Err(refused(
                &format!("{op} is not supported: a query has one table"),
                "name both datasets in the plugin_input of the sink",
            ));
        }
        _ => return Err(refused("only a plain SELECT is supported", "write SELECT … FROM … [WHERE …]")),
    };
    if let Some(Distinct::Distinct | Distinct::On(_)) = select.distinct {
        return Err(refused(
            "DISTINCT is not supported: it would have to remember every row",
            "use the target's key",
        ));
    }
    let group = match &select.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(expressions, modifiers) => !expressions.is_empty() || !modifiers.is_empty(),
    };
    if group || select.having.is_some() {
        return Err(refused(
            "GROUP BY and HAVING are not supported: rows are seen one at a time",
            "group at the target",
        ));
    }
    if !select.lateral_views.is_empty() {
        return Err(refused(
            "LATERAL VIEW is not supported: one row stays one row",
            "part the values at the target",
        ));
    }
    let more = select.top.is_some()
        || select.into.is_some()
        || select.exclude.is_some()
        || select.select_modifiers.is_some()
        || select.prewhere.is_some()
        || !select.connect_by.is_empty()
        || !select.cluster_by.is_empty()
        || !select.distribute_by.is_empty()
        || !select.sort_by.is_empty()
        || !select.named_window.is_empty()
        || select.qualify.is_some()
        || select.value_table_mode.is_some();
    if more {
        return Err(refused("a clause of this SELECT is not supported", "write SELECT … FROM … [WHERE …]"));
    }
    Ok(select)
}

/// The one table's name.
fn from_of(from: &[TableWithJoins]) -> Result<String> {
    let table = match from {
        [] => return Err(refused("FROM is missing", "write FROM and any name, for example FROM dual")),
        [one] if one.joins.is_empty() => &one.relation,
        _ => {
            return Err(refused(
                "a join is not supported: a query has one table",
                "join at the target, or read a view of the source",
            ));
        }
    };
    let TableFactor::Table { name, alias, args: None, .. } = table else {
        return Err(refused(
            "only a table can stand behind FROM, no SELECT and no function",
            "write a second Sql block for a second step",
        ));
    };
    if alias.is_some() {
        return Err(refused("a table alias is not supported", "drop it; a query has one table"));
    }
    match name.0.as_slice() {
        [part] => Ok(part.as_ident().map_or_else(|| part.to_string(), |ident| ident.value.clone())),
        _ => Err(refused(
            &format!("the name `{name}` of a table has more than one part"),
            "write the table's own name or the dataset's; it has no effect which",
        )),
    }
}

fn item_of(item: &SelectItem, from: &str) -> Result<Item> {
    match item {
        SelectItem::Wildcard(options) if is_plain(options) => Ok(Item::All),
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options)
            if is_plain(options) && is_named(name, from) =>
        {
            Ok(Item::All)
        }
        SelectItem::UnnamedExpr(expression) => Ok(Item::One { expression: expression.clone(), alias: None }),
        SelectItem::ExprWithAlias { expr, alias } => {
            Ok(Item::One { expression: expr.clone(), alias: Some(alias.value.clone()) })
        }
        other => Err(refused(
            &format!("`{other}` is not supported in the list of columns"),
            "write `*`, columns, and expressions with AS",
        )),
    }
}

/// A `*` with nothing behind it.
fn is_plain(options: &WildcardAdditionalOptions) -> bool {
    options.opt_ilike.is_none()
        && options.opt_exclude.is_none()
        && options.opt_except.is_none()
        && options.opt_replace.is_none()
        && options.opt_rename.is_none()
        && options.opt_alias.is_none()
}

fn is_named(name: &ObjectName, from: &str) -> bool {
    matches!(name.0.as_slice(), [part] if part.as_ident().is_some_and(|ident| ident.value.eq_ignore_ascii_case(from)))
}

fn judge(expression: &Expr) -> Result<()> {
    if let Some(call) = call_of(expression)? {
        let Some(shape) = functions::shape(&call.name) else {
            return Err(unknown_function(&call.name));
        };
        if !shape.contains(&call.arguments.len()) {
            let (least, most) = (shape.start(), shape.end());
            let wanted = match (least, most) {
                (least, most) if least == most => format!("{least}"),
                (least, &usize::MAX) => format!("at least {least}"),
                (least, most) => format!("{least} to {most}"),
            };
            return Err(refused(
                &format!(
                    "{} takes {wanted} arguments, not {}: `{expression}`",
                    call.name,
                    call.arguments.len()
                ),
                "docs/sql.md has every function",
            ));
        }
        return call.arguments.iter().try_for_each(|argument| judge(argument));
    }
    parts_of(expression)?.into_iter().try_for_each(judge)
}

fn unknown_function(name: &str) -> Error {
    let what = format!("there is no function {name}");
    if let Some(why) = functions::refused(name) {
        return refused(&format!("the function {name} is not supported"), why);
    }
    match nearest(name, functions::names()) {
        Some(near) => refused(&what, &format!("did you mean {near}? docs/sql.md has them all")),
        None => refused(&what, "docs/sql.md has every function"),
    }
}

/// A function by its name in capitals, however it is written: `CEIL(x)` and `EXTRACT(DAY FROM x)` have a syntax
/// of their own.
pub(crate) struct Call<'q> {
    pub(crate) name: String,
    pub(crate) arguments: Vec<Cow<'q, Expr>>,
}

fn call<'q>(name: &str, arguments: Vec<Cow<'q, Expr>>) -> Call<'q> {
    Call { name: name.to_owned(), arguments }
}

/// The function that an expression calls, if it calls one.
pub(crate) fn call_of(expression: &Expr) -> Result<Option<Call<'_>>> {
    Ok(Some(match expression {
        Expr::Function(function) if bare_column(function).is_none() => {
            return call_of_function(function).map(Some);
        }
        Expr::Ceil { expr, field: CeilFloorKind::DateTimeField(field) } if is_absent(field) => {
            call("CEIL", vec![Cow::Borrowed(expr)])
        }
        Expr::Floor { expr, field: CeilFloorKind::DateTimeField(field) } if is_absent(field) => {
            call("FLOOR", vec![Cow::Borrowed(expr)])
        }
        Expr::Ceil { expr, field: CeilFloorKind::Scale(scale) } => {
            call("CEIL", vec![Cow::Borrowed(expr), Cow::Owned(Expr::Value(scale.clone()))])
        }
        Expr::Floor { expr, field: CeilFloorKind::Scale(scale) } => {
            call("FLOOR", vec![Cow::Borrowed(expr), Cow::Owned(Expr::Value(scale.clone()))])
        }
        Expr::Position { expr, r#in } => call("POSITION", vec![Cow::Borrowed(expr), Cow::Borrowed(r#in)]),
        Expr::Substring { expr, substring_from, substring_for, .. } => {
            let mut arguments: Vec<Cow<'_, Expr>> = vec![Cow::Borrowed(expr)];
            match (substring_from, substring_for) {
                (Some(from), None) => arguments.push(Cow::Borrowed(from)),
                (Some(from), Some(length)) => {
                    arguments.extend([Cow::Borrowed(&**from), Cow::Borrowed(&**length)])
                }
                (None, Some(length)) => {
                    let start = Expr::value(Value::Number("1".to_owned(), false));
                    arguments.extend([Cow::Owned(start), Cow::Borrowed(&**length)]);
                }
                (None, None) => {}
            }
            call("SUBSTRING", arguments)
        }
        Expr::Trim { trim_where, trim_what, expr, trim_characters } => {
            let name = match trim_where {
                None | Some(TrimWhereField::Both) => "TRIM",
                Some(TrimWhereField::Leading) => "LTRIM",
                Some(TrimWhereField::Trailing) => "RTRIM",
            };
            let mut arguments: Vec<Cow<'_, Expr>> = vec![Cow::Borrowed(expr)];
            arguments.extend(trim_what.iter().map(|what| Cow::Borrowed(&**what)));
            arguments.extend(trim_characters.iter().flatten().map(Cow::Borrowed));
            call(name, arguments)
        }
        Expr::Extract { field, expr, .. } => {
            let field = Expr::value(Value::SingleQuotedString(field.to_string()));
            call("EXTRACT", vec![Cow::Borrowed(expr), Cow::Owned(field)])
        }
        _ => return Ok(None),
    }))
}

/// The column that a name without parentheses is, where it is no function: the parser takes `user` for one.
pub(crate) fn bare_column(function: &Function) -> Option<&Ident> {
    let [part] = function.name.0.as_slice() else { return None };
    let ident = part.as_ident()?;
    let bare = matches!(function.args, FunctionArguments::None);
    (bare && functions::shape(&ident.value.to_uppercase()).is_none()).then_some(ident)
}

/// The names that lead to a column, or to what lies in its values: `column`, `table.column`, `row.field`, `map.key`,
/// `map['key']`. `None` for anything else.
pub(crate) fn names_of(expression: &Expr) -> Option<Vec<&str>> {
    match expression {
        Expr::Identifier(name) => Some(vec![&name.value]),
        Expr::CompoundIdentifier(parts) => Some(parts.iter().map(|part| part.value.as_str()).collect()),
        Expr::CompoundFieldAccess { root, access_chain } => {
            let mut names = names_of(root)?;
            for access in access_chain {
                names.push(match access {
                    AccessExpr::Dot(Expr::Identifier(name)) => &name.value,
                    AccessExpr::Subscript(Subscript::Index { index: Expr::Value(key) }) => match &key.value {
                        Value::SingleQuotedString(key) => key,
                        _ => return None,
                    },
                    _ => return None,
                });
            }
            Some(names)
        }
        _ => None,
    }
}

/// `CEIL(x)` has no field; the parser says so with a field that is none.
fn is_absent(field: &DateTimeField) -> bool {
    matches!(field, DateTimeField::NoDateTime)
}

fn call_of_function(function: &Function) -> Result<Call<'_>> {
    let [part] = function.name.0.as_slice() else {
        return Err(unknown_function(&function.name.to_string()));
    };
    let name = part.as_ident().map_or_else(|| part.to_string(), |ident| ident.value.clone()).to_uppercase();
    if function.over.is_some() {
        return Err(refused(
            &format!("the window function {name} is not supported: rows are seen one at a time"),
            "compute it at the target",
        ));
    }
    let bare =
        function.filter.is_none() && function.null_treatment.is_none() && function.within_group.is_empty();
    let list = match &function.args {
        FunctionArguments::None => return Ok(Call { name, arguments: Vec::new() }),
        FunctionArguments::List(list)
            if bare && list.duplicate_treatment.is_none() && list.clauses.is_empty() =>
        {
            list
        }
        FunctionArguments::Subquery(_) => return Err(no_select_inside()),
        FunctionArguments::List(_) => {
            return Err(refused(&format!("`{function}` is not supported"), "docs/sql.md has every function"));
        }
    };
    let mut arguments = Vec::new();
    for argument in &list.args {
        match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => {
                arguments.push(Cow::Borrowed(expression))
            }
            _ if functions::refused(&name).is_some() => return Err(unknown_function(&name)),
            other => {
                return Err(refused(
                    &format!("the argument `{other}` of {name} is not supported"),
                    "write a column or an expression",
                ));
            }
        }
    }
    Ok(Call { name, arguments })
}

fn no_select_inside() -> Error {
    refused(
        "a SELECT inside another is not supported: a query has one table",
        "join at the target, or read a view of the source",
    )
}

/// The expressions inside one that calls no function. Errors name what is not supported.
pub(crate) fn parts_of(expression: &Expr) -> Result<Vec<&Expr>> {
    Ok(match expression {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_) | Expr::TypedString(_) => {
            Vec::new()
        }
        Expr::Function(function) if bare_column(function).is_some() => Vec::new(),
        Expr::CompoundFieldAccess { .. } if names_of(expression).is_some() => Vec::new(),
        Expr::CompoundFieldAccess { .. } => {
            return Err(refused(
                &format!("`{expression}` is not supported: only a text in the brackets, for a key of a map"),
                "take an item of an array with the transform JsonPath in front, by the path `$[0]`",
            ));
        }
        Expr::Nested(inner) | Expr::UnaryOp { expr: inner, .. } => vec![inner],
        Expr::IsNull(inner) | Expr::IsNotNull(inner) => vec![inner],
        Expr::IsTrue(inner) | Expr::IsNotTrue(inner) => vec![inner],
        Expr::IsFalse(inner) | Expr::IsNotFalse(inner) => vec![inner],
        Expr::BinaryOp { left, right, .. } => vec![left, right],
        Expr::Between { expr, low, high, .. } => vec![expr, low, high],
        Expr::InList { expr, list, .. } => std::iter::once(expr.as_ref()).chain(list).collect(),
        Expr::Like { any: false, expr, pattern, .. } => vec![expr, pattern],
        Expr::Case { operand, conditions, else_result, .. } => {
            let branches = conditions.iter().flat_map(|branch| [&branch.condition, &branch.result]);
            operand
                .iter()
                .map(AsRef::as_ref)
                .chain(branches)
                .chain(else_result.iter().map(AsRef::as_ref))
                .collect()
        }
        Expr::Cast { kind, expr, array: false, format: None, .. } if *kind != CastKind::DoubleColon => {
            vec![expr]
        }
        Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => return Err(no_select_inside()),
        other => {
            return Err(refused(
                &format!("the expression `{other}` is not supported"),
                "docs/sql.md has what an expression can say",
            ));
        }
    })
}
