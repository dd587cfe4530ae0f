//! MySQL and MariaDB: what `information_schema` says about tables, and what follows from their types.

use sqlx::MySqlConnection;

use super::catalog::{flag, number, optional, text};
use super::dialect::split_schema;
use super::inspect::{ColumnKind, ColumnSchema, Limits, TableSchema, UniqueIndex};
use super::mysql::fetch;
use super::our_tables;
use super::stored::Stored;

/// The user's tables in the connection's own database.
pub(super) async fn table_names(connection: &mut MySqlConnection) -> sqlx::Result<Vec<String>> {
    let sql = "select table_name from information_schema.tables
               where table_type = 'BASE TABLE' and table_schema = database() order by 1";
    let rows = fetch(connection, sql, Vec::new()).await?;
    Ok(rows.into_iter().map(|row| text(&row, 0)).filter(|name| !our_tables::NAMES.contains(&name.as_str())).collect())
}

/// What a table or view looks like.
pub(super) async fn table(connection: &mut MySqlConnection, written: &str) -> sqlx::Result<Option<TableSchema>> {
    let (schema, name) = split_schema(written);
    let sql =
        "select t.table_schema, t.table_name, t.table_schema = database(), t.engine, coalesce(e.transactions, 'YES') = 'YES'
               from information_schema.tables t left join information_schema.engines e on e.engine = t.engine
               where lower(t.table_name) = lower(?) and lower(t.table_schema) = lower(coalesce(?, database()))
               order by binary t.table_name = ? desc limit 1";
    let name = Stored::Text(name.to_owned());
    let schema = schema.map_or(Stored::Null, |schema| Stored::Text(schema.to_owned()));
    let rows = fetch(connection, sql, vec![name.clone(), schema, name]).await?;
    let Some(found) = rows.first() else { return Ok(None) };
    let place = [Stored::Text(text(found, 0)), Stored::Text(text(found, 1))];
    let columns = columns(connection, &place).await?;
    let refused = (!flag(found, 4)).then(|| {
        format!("its engine {} knows no transactions, so a row could be there without its mark; use InnoDB", text(found, 3))
    });
    let unique_indexes = unique_indexes(connection, &place).await?;
    let (schema, name, in_default_schema) = (text(found, 0), text(found, 1), flag(found, 2));
    let mut table = TableSchema { schema, in_default_schema, name, columns, unique_indexes, refused };
    if let Some(primary) = table.unique_indexes.iter().find(|index| index.name == PRIMARY_KEY) {
        for column in &mut table.columns {
            let position = primary.columns.iter().position(|name| *name == column.name);
            column.primary_key = position.and_then(|position| u32::try_from(position + 1).ok());
        }
    }
    Ok(Some(table))
}

const PRIMARY_KEY: &str = "primary key";

async fn columns(connection: &mut MySqlConnection, place: &[Stored; 2]) -> sqlx::Result<Vec<ColumnSchema>> {
    let sql = "select column_name, column_type, data_type, is_nullable = 'NO', column_default, extra, character_maximum_length,
                 numeric_precision, numeric_scale, datetime_precision, collation_name
               from information_schema.columns where table_schema = ? and table_name = ? order by ordinal_position";
    let rows = fetch(connection, sql, place.to_vec()).await?;
    let json = json_columns(connection, place).await?;
    Ok(rows.iter().map(|row| column(row, &json)).collect())
}

/// The columns that MariaDB keeps JSON in: long texts with a check. MySQL has a type of its own, and no such catalogue column.
async fn json_columns(connection: &mut MySqlConnection, place: &[Stored; 2]) -> sqlx::Result<Vec<String>> {
    let version = fetch(connection, "select version()", Vec::new()).await?;
    if !version.first().is_some_and(|row| text(row, 0).contains("MariaDB")) {
        return Ok(Vec::new());
    }
    let sql = "select check_clause from information_schema.check_constraints where constraint_schema = ? and table_name = ?";
    let rows = fetch(connection, sql, place.to_vec()).await?;
    let column = |row: &Vec<Stored>| {
        let clause = text(row, 0);
        let quoted = clause.strip_prefix("json_valid(`")?.strip_suffix("`)")?;
        Some(quoted.replace("``", "`"))
    };
    Ok(rows.iter().filter_map(column).collect())
}

fn column(row: &[Stored], json: &[String]) -> ColumnSchema {
    let (name, declared, data_type) = (text(row, 0), text(row, 1), text(row, 2).to_ascii_lowercase());
    let is_json = data_type == "json" || (data_type == "longtext" && json.contains(&name));
    let kind = if is_json { ColumnKind::Json } else { kind_of(&data_type, &declared) };
    let extra = text(row, 5).to_ascii_uppercase();
    let generated = ["VIRTUAL GENERATED", "STORED GENERATED", "PERSISTENT"].iter().any(|word| extra.contains(word));
    let default = optional(row, 4).filter(|default| !default.eq_ignore_ascii_case("null") && !generated);
    let limits = limits(row, &data_type, &declared);
    let collation = optional(row, 10);
    ColumnSchema {
        declared: if is_json { "json".to_owned() } else { declared },
        kind,
        converts_numbers: false,
        not_null: flag(row, 3),
        default: if extra.contains("AUTO_INCREMENT") { Some("auto_increment".to_owned()) } else { default },
        primary_key: None,
        generated,
        cast: cast(&data_type, kind, &limits),
        folds: kind == ColumnKind::Text && collation.as_deref().is_some_and(folds),
        folds_letters: kind == ColumnKind::Text && collation.is_some_and(|collation| !collation.ends_with("_bin")),
        limits,
        name,
    }
}

fn kind_of(data_type: &str, declared: &str) -> ColumnKind {
    match data_type {
        "tinyint" if declared.starts_with("tinyint(1)") => ColumnKind::Boolean,
        "bit" if declared == "bit(1)" => ColumnKind::Boolean,
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "bit" | "year" => ColumnKind::Integer,
        "decimal" => ColumnKind::Decimal,
        "float" | "double" => ColumnKind::Real,
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum" | "set" => ColumnKind::Text,
        "date" => ColumnKind::Date,
        "time" => ColumnKind::Time,
        "datetime" | "timestamp" => ColumnKind::Timestamp,
        "uuid" => ColumnKind::Uuid,
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => ColumnKind::Bytes,
        _ => ColumnKind::Unknown,
    }
}

fn limits(row: &[Stored], data_type: &str, declared: &str) -> Limits {
    let digit = |index| number(row, index).and_then(|number| u32::try_from(number).ok());
    let bits = match data_type {
        "tinyint" => 8,
        "smallint" => 16,
        "mediumint" => 24,
        "int" => 32,
        "bigint" => 64,
        _ => 0,
    };
    let whole = match bits {
        // two digits would become some other year
        0 if data_type == "year" => Some((1901, 2155)),
        0 if data_type == "bit" => digit(7).map(|bits| (0, (1_i128 << bits) - 1)),
        0 => None,
        bits if declared.contains("unsigned") => Some((0, (1_i128 << bits) - 1)),
        bits => Some((-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1)),
    };
    let moment = matches!(data_type, "datetime" | "timestamp");
    Limits {
        characters: number(row, 6)
            .and_then(|count| u64::try_from(count).ok())
            .filter(|_| matches!(data_type, "char" | "varchar")),
        whole,
        digits: digit(7).zip(digit(8)).filter(|_| data_type == "decimal"),
        fraction: digit(9).and_then(|digits| u8::try_from(digits).ok()),
        words: if data_type == "enum" { enum_words(declared) } else { Vec::new() },
        zoned: moment.then_some(data_type == "timestamp"),
        refuses_nul: false,
    }
}

/// `enum('a','it''s')`.
fn enum_words(declared: &str) -> Vec<String> {
    let inner = declared.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or_default();
    let inner = inner.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or_default();
    inner.split("','").map(|word| word.replace("''", "'").replace("\\\\", "\\")).collect()
}

/// What a value is compared as: between a number and a text, MySQL would compare floats.
fn cast(data_type: &str, kind: ColumnKind, limits: &Limits) -> String {
    match kind {
        ColumnKind::Decimal => limits.digits.map_or_else(String::new, |(all, behind)| format!("decimal({all},{behind})")),
        ColumnKind::Integer if limits.whole.is_some_and(|(_, most)| most > i64::MAX.into()) => "unsigned".to_owned(),
        ColumnKind::Date => "date".to_owned(),
        ColumnKind::Time => "time(6)".to_owned(),
        ColumnKind::Timestamp => "datetime(6)".to_owned(),
        ColumnKind::Json if data_type == "json" => "json".to_owned(),
        _ => String::new(),
    }
}

/// Whether a collation takes texts for equal that differ. `_bin` alone still cuts trailing spaces.
fn folds(collation: &str) -> bool {
    !(collation == "binary" || collation.ends_with("_nopad_bin") || collation == "utf8mb4_0900_bin")
}

async fn unique_indexes(connection: &mut MySqlConnection, place: &[Stored; 2]) -> sqlx::Result<Vec<UniqueIndex>> {
    let sql = "select index_name, column_name, sub_part is null from information_schema.statistics
               where table_schema = ? and table_name = ? and non_unique = 0
               order by index_name <> 'PRIMARY', index_name, seq_in_index";
    let mut indexes: Vec<UniqueIndex> = Vec::new();
    for row in fetch(connection, sql, place.to_vec()).await? {
        let name = match text(&row, 0) {
            primary if primary == "PRIMARY" => PRIMARY_KEY.to_owned(),
            name => name,
        };
        if indexes.last().is_none_or(|last| last.name != name) {
            indexes.push(UniqueIndex { name, columns: Vec::new(), whole: true });
        }
        let Some(index) = indexes.last_mut() else { continue };
        index.whole &= flag(&row, 2) && optional(&row, 1).is_some();
        index.columns.extend(optional(&row, 1));
    }
    Ok(indexes)
}
