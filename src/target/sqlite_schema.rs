//! SQLite: what its pragmas say about tables, and its rules about declared types.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::dialect::split_schema;
use super::inspect::{ColumnKind, ColumnSchema, Limits, TableSchema, UniqueIndex};

/// A number that changes whenever a table does.
pub(super) async fn schema_version(connection: &mut SqliteConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar("pragma schema_version").fetch_one(connection).await
}

/// The names of all tables but ours and SQLite's.
pub(super) async fn table_names(connection: &mut SqliteConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select name from pragma_table_list
         where schema = 'main' and type in ('table', 'virtual') and name not like 'sqlite\\_%' escape '\\'
           and name not in ('hooktable_applied', 'hooktable_lane', 'hooktable_version')
         order by name",
    )
    .fetch_all(connection)
    .await
}

/// What a table or view looks like.
pub(super) async fn table(connection: &mut SqliteConnection, name: &str) -> sqlx::Result<Option<TableSchema>> {
    let (schema, name) = split_schema(name);
    let schema = schema.unwrap_or("main");
    let found = "select name from pragma_table_list where lower(schema) = lower(?1) and lower(name) = lower(?2)";
    let Some(name) = sqlx::query_scalar::<_, String>(found).bind(schema).bind(name).fetch_optional(&mut *connection).await?
    else {
        return Ok(None);
    };
    let columns = columns(connection, schema, &name).await?;
    let unique_indexes = unique_indexes(connection, schema, &name).await?;
    let in_default_schema = schema.eq_ignore_ascii_case("main");
    let mut table = TableSchema { schema: schema.to_owned(), in_default_schema, name, columns, unique_indexes, refused: None };
    let key: Vec<String> = table.primary_key().into_iter().map(str::to_owned).collect();
    if !key.is_empty() && !table.unique_indexes.iter().any(|index| index.name == PRIMARY_KEY) {
        table.unique_indexes.push(UniqueIndex { name: PRIMARY_KEY.to_owned(), columns: key, whole: true });
    }
    Ok(Some(table))
}

const PRIMARY_KEY: &str = "primary key";

async fn columns(connection: &mut SqliteConnection, schema: &str, table: &str) -> sqlx::Result<Vec<ColumnSchema>> {
    let sql =
        "select name, type, \"notnull\", dflt_value, pk, hidden from pragma_table_xinfo(?1, ?2) where hidden <> 1 order by cid";
    let rows = sqlx::query(sql).bind(table).bind(schema).fetch_all(&mut *connection).await?;
    let collations = collations(connection, schema, table).await?;
    let column = |row: &SqliteRow| {
        let name: String = row.try_get("name")?;
        let declared: String = row.try_get("type")?;
        let folding = |folds: fn(&str) -> bool| collations.iter().any(|(column, collation)| *column == name && folds(collation));
        let position: u32 = row.try_get("pk")?;
        Ok(ColumnSchema {
            kind: kind_of(&declared),
            converts_numbers: affinity(&declared) == Affinity::Numeric,
            declared,
            not_null: row.try_get("notnull")?,
            default: row.try_get("dflt_value")?,
            primary_key: (position > 0).then_some(position),
            generated: row.try_get::<i64, _>("hidden")? > 1,
            cast: String::new(),
            name: name.clone(),
            folds: folding(|_| true),
            folds_letters: folding(|collation| !collation.eq_ignore_ascii_case("rtrim")),
            limits: Limits::default(),
        })
    };
    rows.iter().map(column).collect()
}

/// The columns that a unique index compares by something else than their bytes.
async fn collations(connection: &mut SqliteConnection, schema: &str, table: &str) -> sqlx::Result<Vec<(String, String)>> {
    let sql = "select info.name, info.coll from pragma_index_list(?1, ?2) as list, pragma_index_xinfo(list.name, ?2) as info
               where list.\"unique\" and info.key and info.name is not null and info.coll <> 'BINARY'";
    sqlx::query_as(sql).bind(table).bind(schema).fetch_all(connection).await
}

async fn unique_indexes(connection: &mut SqliteConnection, schema: &str, table: &str) -> sqlx::Result<Vec<UniqueIndex>> {
    let sql = "select list.name as name, list.origin as origin, list.partial as partial, info.name as column_name
               from pragma_index_list(?1, ?2) as list, pragma_index_info(list.name, ?2) as info
               where list.\"unique\" order by list.seq, info.seqno";
    let rows = sqlx::query(sql).bind(table).bind(schema).fetch_all(connection).await?;
    let mut indexes: Vec<(String, UniqueIndex)> = Vec::new();
    for row in rows {
        let own_name: String = row.try_get("name")?;
        if indexes.last().is_none_or(|(last, _)| *last != own_name) {
            let name = match row.try_get::<String, _>("origin")?.as_str() {
                "pk" => PRIMARY_KEY.to_owned(),
                "u" => "unique constraint".to_owned(),
                _ => own_name.clone(),
            };
            let whole = !row.try_get::<bool, _>("partial")?;
            indexes.push((own_name, UniqueIndex { name, columns: Vec::new(), whole }));
        }
        let Some((_, index)) = indexes.last_mut() else { continue };
        match row.try_get::<Option<String>, _>("column_name")? {
            Some(column) => index.columns.push(column),
            None => index.whole = false,
        }
    }
    Ok(indexes.into_iter().map(|(_, index)| index).collect())
}

/// Whether a column is the row's own number, which SQLite gives when it is left out.
pub(super) fn is_rowid(table: &TableSchema, column: &str) -> bool {
    let is_integer = |found: &ColumnSchema| found.declared.eq_ignore_ascii_case("integer");
    let [key] = table.primary_key()[..] else { return false };
    key.eq_ignore_ascii_case(column) && table.columns.iter().any(|found| found.name == key && is_integer(found))
}

#[derive(PartialEq, Eq)]
enum Affinity {
    Integer,
    Text,
    Blob,
    Real,
    Numeric,
}

/// SQLite's own rule, in its own order.
fn affinity(declared: &str) -> Affinity {
    let declared = declared.to_ascii_uppercase();
    let has = |parts: &[&str]| parts.iter().any(|part| declared.contains(part));
    match () {
        () if has(&["INT"]) => Affinity::Integer,
        () if has(&["CHAR", "CLOB", "TEXT"]) => Affinity::Text,
        () if declared.trim().is_empty() || has(&["BLOB"]) => Affinity::Blob,
        () if has(&["REAL", "FLOA", "DOUB"]) => Affinity::Real,
        () => Affinity::Numeric,
    }
}

/// What a column with this declared type takes: by its affinity, and by what the name says on top of it.
pub(super) fn kind_of(declared: &str) -> ColumnKind {
    let affinity = affinity(declared);
    let declared = declared.to_ascii_uppercase();
    let words: Vec<_> = declared.split(|letter: char| !letter.is_ascii_alphanumeric()).collect();
    let starts = |names: &[&str]| names.iter().any(|name| words.iter().any(|word| word.starts_with(name)));
    let is = |name: &str| words.contains(&name);
    match affinity {
        Affinity::Integer => ColumnKind::Integer,
        Affinity::Real => ColumnKind::Real,
        Affinity::Blob if declared.trim().is_empty() => ColumnKind::Unknown,
        Affinity::Blob => ColumnKind::Bytes,
        Affinity::Text | Affinity::Numeric if starts(&["TIMESTAMP", "DATETIME"]) => ColumnKind::Timestamp,
        Affinity::Text | Affinity::Numeric if is("DATE") => ColumnKind::Date,
        Affinity::Text | Affinity::Numeric if starts(&["TIME"]) => ColumnKind::Time,
        Affinity::Text | Affinity::Numeric if is("UUID") => ColumnKind::Uuid,
        Affinity::Text | Affinity::Numeric if starts(&["JSON"]) => ColumnKind::Json,
        Affinity::Text if starts(&["DECIMAL", "NUMERIC"]) => ColumnKind::Decimal,
        Affinity::Text => ColumnKind::Text,
        Affinity::Numeric if starts(&["BOOL"]) => ColumnKind::Boolean,
        Affinity::Numeric => ColumnKind::Numeric,
    }
}

/// The type to declare a column of this kind with; what is kept as text says so, or SQLite would make numbers of it.
pub(super) fn type_of(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Text => "TEXT",
        ColumnKind::Integer => "INTEGER",
        ColumnKind::Decimal => "DECIMAL_TEXT",
        ColumnKind::Numeric => "NUMERIC",
        ColumnKind::Real => "REAL",
        ColumnKind::Boolean => "BOOLEAN",
        ColumnKind::Date => "DATE_TEXT",
        ColumnKind::Time => "TIME_TEXT",
        ColumnKind::Timestamp => "TIMESTAMP_TEXT",
        ColumnKind::Uuid => "UUID_TEXT",
        ColumnKind::Json | ColumnKind::List => "JSON_TEXT",
        ColumnKind::Bytes => "BLOB",
        ColumnKind::Unknown => "",
    }
}
