//! What a query cannot say, and what it says then.

use culvert_api::{ErrorKind, Transform};
use culvert_config::definition_mistakes;

use super::{one_of_each, schema, sql};
use crate::Sql;

#[test]
fn definitions_are_sound() {
    assert_eq!(definition_mistakes(Sql::OPTIONS), Vec::<String>::new());
}

/// A query that is wrong whatever the table, and what its error says.
const WITHOUT_A_TABLE: &[(&str, &str)] = &[
    ("select", "not a statement of SQL"),
    ("delete from t", "only SELECT is supported"),
    ("insert into t select 1", "only SELECT is supported"),
    ("select 1 from t; select 2 from t", "one SELECT is wanted"),
    ("select 1", "FROM is missing"),
    ("select a from t join u on t.a = u.a", "a join is not supported"),
    ("select a from t, u", "a join is not supported"),
    ("select a from t group by a", "GROUP BY and HAVING are not supported"),
    ("select a from t having a > 1", "GROUP BY and HAVING are not supported"),
    ("select a from t order by a", "ORDER BY is not supported"),
    ("select a from t limit 1", "LIMIT, OFFSET and FETCH are not supported"),
    ("select a from t offset 1", "LIMIT, OFFSET and FETCH are not supported"),
    ("select distinct a from t", "DISTINCT is not supported"),
    ("select a from t union select a from t", "UNION is not supported"),
    ("select a from (select a from t)", "no SELECT and no function"),
    ("select (select 1 from t) from t", "a SELECT inside another"),
    ("select a from t where a in (select 1 from t)", "a SELECT inside another"),
    ("select a from t where exists (select 1 from t)", "a SELECT inside another"),
    ("with u as (select 1 from t) select a from u", "WITH is not supported"),
    ("select x.a from t x", "a table alias is not supported"),
    ("select a from shop.orders", "more than one part"),
    ("select count(*) from t", "the function COUNT is not supported"),
    ("select sum(a) from t", "aggregate at the target"),
    ("select row_number() over (order by a) from t", "the window function ROW_NUMBER"),
    ("select explode(a) from t", "the function EXPLODE is not supported"),
    ("select a[0] from t", "only a text in the brackets"),
    ("select map(a) from t", "MAP takes at least 2 arguments, not 1"),
    ("select des_encrypt(a, 'k') from t", "the function DES_ENCRYPT is not supported"),
    ("select * from t lateral view explode(split(a, ',')) x as b", "LATERAL VIEW is not supported"),
    ("select uper(a) from t", "did you mean UPPER"),
    ("select upper(a, b) from t", "UPPER takes 1 arguments, not 2"),
    ("select lpad(a) from t", "LPAD takes 2 to 3 arguments, not 1"),
    ("select concat() from t", "CONCAT takes at least 1 arguments, not 0"),
    ("select a + uper(a) from t where true", "there is no function UPER"),
    ("select a from t where uper(a) = 'x'", "there is no function UPER"),
    ("select a::int from t", "is not supported"),
    ("select * except (a) from t", "is not supported in the list of columns"),
];

#[test]
fn a_wrong_query_is_found_when_the_job_file_is_read() {
    for (query, part) in WITHOUT_A_TABLE {
        let error = sql(query).expect_err(query);
        assert_eq!(error.kind(), ErrorKind::Config, "{query}");
        assert!(error.to_string().contains(part), "{query}: {error}");
        assert!(error.hint_text().is_some(), "{query}: no hint");
    }
}

/// A query that does not fit the table, and what its error says.
const WITH_A_TABLE: &[(&str, &str)] = &[
    ("select NAMES from t", "did you mean `NAME`"),
    ("select ID from t where NAMED = 1", "there is no column `NAMED`"),
    ("select other.NAME from t", "there is no table before `other.NAME`"),
    ("select a.b.c from t", "there is no table before"),
    ("select NAME.first from t", "there is no `first` in a STRING"),
    ("select ARRAY(FLAG, 1) from t", "cannot be items of one ARRAY"),
    ("select MAP('a', 1, 'b') from t", "MAP takes keys and values in turn"),
    ("select MAP(ARRAY(1), 1) from t", "a key of MAP is a ARRAY<INT>"),
    ("select ARRAY_MAX(I) from t", "an array is wanted"),
    ("select ARRAY_MAX(ARRAY(FLAG)) from t", "the array holds BOOLEAN"),
    ("select ID from t where ARRAY(1) = ARRAY(1)", "a ARRAY<INT> cannot be compared"),
    ("select CAST(ARRAY(1) AS STRING) from t", "a ARRAY<INT> cannot become a STRING"),
    ("select ID, I as id from t", "the query gives two columns the name `id`"),
    ("select *, I + 1 as I from t", "the query gives two columns the name `I`"),
    ("select ID from t where NAME", "`NAME` is a STRING and no condition"),
    ("select ID from t where I", "`I` is a INT and no condition"),
    ("select ID from t where NAME = 1", "cannot be compared"),
    ("select ID from t where I = 'x'", "'x' is no INT"),
    ("select ID from t where CREATED = 'today'", "'today' is no TIMESTAMP"),
    ("select NAME + 1 as x from t", "STRING + INT cannot be computed"),
    ("select CREATED - CREATED as x from t", "use DATEADD or DATEDIFF"),
    ("select LENGTH(BYTES_COL) from t", "argument 1 of LENGTH is a BYTES"),
    ("select HOUR(NAME) from t", "read it with PARSEDATETIME or CAST"),
    ("select ABS(NAME) from t", "a number is wanted"),
    ("select DATEADD(CREATED, 1, 'FORTNIGHT') from t", "there is no unit 'FORTNIGHT'"),
    ("select DATEADD(CLOCK, 1, 'DAY') from t", "a time of day has no days to add"),
    ("select DATEADD(CREATED, 1, NAME) from t", "the unit has to be written out"),
    ("select EXTRACT(HOUR FROM DAY_COL) from t", "a DATE has no HOUR"),
    ("select FORMATDATETIME(CREATED, 'YYYY') from t", "`YYYY` in a pattern of dates is not known"),
    ("select FROM_UNIXTIME(ID, 'yyyy', 'Mars/Base') from t", "there is no zone 'Mars/Base'"),
    ("select REGEXP_LIKE(NAME, '(?=x)') from t", "a regular expression is not understood"),
    ("select REGEXP_LIKE(NAME, 'x', 'q') from t", "the flags of a regular expression are"),
    ("select CAST(NAME AS POINT) from t", "there is no type POINT"),
    ("select CAST(FLAG AS DATE) from t", "a BOOLEAN cannot become a DATE"),
    ("select CASE WHEN FLAG THEN FLAG ELSE 1 END from t", "cannot be results of one CASE"),
    ("select COALESCE(CREATED, FLAG) from t", "a BOOLEAN cannot become a TIMESTAMP"),
];

#[test]
fn a_query_that_does_not_fit_the_table_names_table_and_transform() {
    let table = schema(&one_of_each(), &["ID"]);
    for (query, part) in WITH_A_TABLE {
        let error = sql(query).expect(query).map_schema(&table).expect_err(query);
        assert_eq!(error.kind(), ErrorKind::Schema, "{query}");
        let text = error.to_string();
        assert!(text.contains(part), "{query}: {text}");
        assert!(text.contains("table=shop.orders") && text.contains("transform=Sql"), "{query}: {text}");
    }
}
