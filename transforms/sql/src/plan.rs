//! A query fitted to one table's shape: what it computes from which columns, and the table that leaves.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use culvert_api::{Column, Condition, Error, ErrorKind, Result, RowKind, RowKindSet, TableSchema};
use datafusion_common::tree_node::TreeNode;
use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::Expr;
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_optimizer::analyzer::type_coercion::TypeCoercionRewriter;
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion_sql::sqlparser::ast::{BinaryOperator, Expr as Ast};

use crate::Sql;
use crate::cast::Mode;
use crate::compare::Typed;
use crate::condition::common_condition;
use crate::query::{Item, Query, names_of};
use crate::translate::{NOW, NOW_TYPE, Translator, can_fail};

/// Something to evaluate over a batch.
#[derive(Debug)]
pub(crate) struct Computed {
    pub(crate) expr: Arc<dyn PhysicalExpr>,
    /// As it is written.
    pub(crate) text: String,
    /// Places of the columns it reads.
    pub(crate) needs: Vec<usize>,
    /// Whether a row can make it fail.
    pub(crate) can_fail: bool,
}

/// Where a column that leaves comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// The column of this place, as it is.
    Passed(usize),
    /// An expression.
    Computed(Computed),
}

/// A query over one shape of one table.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) input: TableSchema,
    pub(crate) output: TableSchema,
    /// The parts of WHERE, joined by AND; a row passes that makes each of them true.
    pub(crate) conditions: Vec<Computed>,
    /// What of WHERE a database can decide as well as this.
    pub(crate) condition: Option<Condition>,
    pub(crate) columns: Vec<Source>,
    /// What a batch has while expressions look at it, when that is one column more than it came with:
    /// [`NOW`].
    pub(crate) with_now: Option<SchemaRef>,
    /// Whether WHERE asks for nothing but the primary key, so that a row passes always or never.
    pub(crate) by_key_alone: bool,
}

impl Plan {
    /// Which input columns the query has to find, a flag each: all that it names, and of `*` those that are
    /// wanted (a flag per column that leaves).
    pub(crate) fn needs(&self, wanted: &[bool], has_wildcard: bool) -> Vec<bool> {
        let mut needs = vec![false; self.input.columns.len()];
        // Behind the last one stands the moment of the batch.
        let mut need = |place: usize| needs.get_mut(place).into_iter().for_each(|need| *need = true);
        for condition in &self.conditions {
            condition.needs.iter().copied().for_each(&mut need);
        }
        for (place, source) in self.columns.iter().enumerate() {
            match source {
                Source::Computed(computed) => computed.needs.iter().copied().for_each(&mut need),
                Source::Passed(from) => {
                    if !has_wildcard || wanted.get(place).copied().unwrap_or(true) {
                        need(*from);
                    }
                }
            }
        }
        needs
    }

    /// Fits a query to a table. Errors are operator errors that name the table and what does not fit.
    pub(crate) fn new(query: &Query, input: &TableSchema) -> Result<Plan> {
        plan(query, input)
            .map_err(|error| error.context("table", &input.id).context("transform", Sql::PLUGIN))
    }
}

fn plan(query: &Query, input: &TableSchema) -> Result<Plan> {
    let mut fields: Vec<Arc<Field>> = input.arrow.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(NOW, NOW_TYPE, false)));
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let maker = Maker {
        translator: Translator { schema: input, from: &query.from },
        known: DFSchema::try_from(schema.clone()).map_err(|cause| unplanned("the columns", &cause))?,
        schema: schema.clone(),
    };
    let (mut conditions, mut common) = (Vec::new(), Vec::new());
    for condition in conjuncts(query.filter.as_ref()) {
        let expr = maker.translator.condition(condition)?;
        conditions.push(maker.computed(expr, condition.to_string())?);
        common.extend(common_condition(&maker.translator, condition));
    }
    let mut columns = Vec::new();
    let mut sources = Vec::new();
    for item in &query.items {
        match item {
            Item::All => {
                columns.extend(input.columns.iter().cloned());
                sources.extend((0..input.columns.len()).map(Source::Passed));
            }
            Item::One { expression, alias } => {
                let (column, source) = maker.one(expression, alias.as_deref())?;
                columns.push(column);
                sources.push(source);
            }
        }
    }
    refuse_twice(&columns)?;
    let uses_now = |computed: &Computed| computed.needs.contains(&input.columns.len());
    let with_now = conditions.iter().any(uses_now)
        || sources.iter().any(|source| matches!(source, Source::Computed(computed) if uses_now(computed)));
    let key: BTreeSet<usize> = input.key_indices().into_iter().collect();
    let by_key_alone =
        conditions.iter().flat_map(|condition| &condition.needs).all(|need| key.contains(need));
    let output = table(input, columns, &sources, !conditions.is_empty());
    Ok(Plan {
        input: input.clone(),
        output,
        conditions,
        condition: Condition::all(common),
        columns: sources,
        with_now: with_now.then_some(schema),
        by_key_alone,
    })
}

/// The table that leaves: its key is there when every column of it leaves as it is, under whatever name.
fn table(input: &TableSchema, columns: Vec<Column>, sources: &[Source], filtered: bool) -> TableSchema {
    let renamed = |key: usize| {
        let own = input.columns.get(key)?;
        let names = || {
            let passed = |source: &Source| matches!(source, Source::Passed(place) if *place == key);
            columns
                .iter()
                .zip(sources)
                .filter(move |(_, source)| passed(source))
                .map(|(column, _)| &column.name)
        };
        names().find(|name| **name == own.name).or_else(|| names().next()).cloned()
    };
    let key: Option<Vec<String>> = input.key_indices().into_iter().map(renamed).collect();
    let mut kinds = input.kinds;
    if filtered && kinds.contains(RowKind::UpdateBefore) {
        // Of an update, one side may pass alone.
        kinds =
            RowKindSet::from_bits(kinds.bits() | RowKindSet::of(&[RowKind::Insert, RowKind::Delete]).bits());
    }
    let output = TableSchema::new(input.id.clone(), input.version, columns, key.unwrap_or_default(), kinds);
    TableSchema { source: input.source, ..output }
}

/// No database tells columns apart by letter case alone.
fn refuse_twice(columns: &[Column]) -> Result<()> {
    let mut names = BTreeSet::new();
    for column in columns {
        if !names.insert(column.name.to_lowercase()) {
            let what = format!("the query gives two columns the name `{}`", column.name);
            return Err(Error::new(ErrorKind::Schema, what)
                .context("column", &column.name)
                .hint("give one of them another name with AS, or list the columns instead of `*`"));
        }
    }
    Ok(())
}

/// The parts of a condition that are joined by AND.
fn conjuncts(filter: Option<&Ast>) -> Vec<&Ast> {
    match filter {
        None => Vec::new(),
        Some(Ast::Nested(inner)) => conjuncts(Some(inner)),
        Some(Ast::BinaryOp { left, op: BinaryOperator::And, right }) => {
            let mut parts = conjuncts(Some(left));
            parts.extend(conjuncts(Some(right)));
            parts
        }
        Some(other) => vec![other],
    }
}

fn unplanned(what: &str, cause: &datafusion_common::DataFusionError) -> Error {
    let cause = cause.strip_backtrace();
    Error::new(ErrorKind::Schema, format!("{what} cannot be planned: {cause}"))
        .hint("check the types, and bring one to the other's with CAST")
}

/// Makes physical expressions over the columns of a table and [`NOW`].
struct Maker<'a> {
    translator: Translator<'a>,
    known: DFSchema,
    schema: SchemaRef,
}

impl Maker<'_> {
    /// An item of the select list.
    fn one(&self, expression: &Ast, alias: Option<&str>) -> Result<(Column, Source)> {
        let input = self.translator.schema;
        if let Some(place) = self.translator.column(expression)? {
            let column = input.columns.get(place);
            let column = column.ok_or_else(|| Error::new(ErrorKind::Internal, "a column is missing"))?;
            let name = alias.unwrap_or(&column.name).to_owned();
            return Ok((Column { name, ..column.clone() }, Source::Passed(place)));
        }
        let text = expression.to_string();
        let typed = self.translator.expression(expression)?;
        let typed = if typed.is_null() { typed.cast(&DataType::Utf8, Mode::Strict) } else { typed };
        let Typed { expr, data_type, .. } = typed;
        let nullable = !matches!(&expr, Expr::Literal(value, _) if !value.is_null());
        // What lies in a column is called as it is there.
        let own = || names_of(expression).and_then(|names| names.last().map(|name| (*name).to_owned()));
        let written = || own().unwrap_or_else(|| text.replace(['`', '"'], ""));
        let name = alias.map_or_else(written, str::to_owned);
        let computed = self.computed(expr, text)?;
        Ok((Column::derived(name, data_type, nullable), Source::Computed(computed)))
    }

    fn computed(&self, expr: Expr, text: String) -> Result<Computed> {
        let failed = |cause: &datafusion_common::DataFusionError| unplanned(&format!("`{text}`"), cause);
        let can_fail = can_fail(&expr);
        let expr =
            expr.rewrite(&mut TypeCoercionRewriter::new(&self.known)).map_err(|cause| failed(&cause))?.data;
        // A constant that was brought to a column's type is that constant from now on, not at every batch.
        let expr = expr.transform_up(|node| Ok(folded(node))).map_err(|cause| failed(&cause))?.data;
        let needs =
            expr.column_refs().into_iter().filter_map(|column| self.schema.index_of(&column.name).ok());
        let mut needs: Vec<usize> = needs.collect();
        needs.sort_unstable();
        let made = create_physical_expr(&expr, &self.known, &ExecutionProps::new());
        let expr = made.map_err(|cause| failed(&cause))?;
        Ok(Computed { expr, text, needs, can_fail })
    }
}

fn folded(node: Expr) -> datafusion_common::tree_node::Transformed<Expr> {
    use datafusion_common::tree_node::Transformed;
    let made: Option<ScalarValue> = match &node {
        Expr::Cast(cast) => match cast.expr.as_ref() {
            Expr::Literal(value, _) => value.cast_to(cast.field.data_type()).ok(),
            _ => None,
        },
        _ => None,
    };
    match made {
        Some(value) => Transformed::yes(Expr::Literal(value, None)),
        None => Transformed::no(node),
    }
}
