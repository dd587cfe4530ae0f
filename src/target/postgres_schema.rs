//! PostgreSQL: what its catalogue says about tables. A domain is the type below it; what follows from a type is `kind_of`'s to say.

use sqlx::PgConnection;

use super::catalog::{flag, number, optional, text, texts};
use super::dialect::split_schema;
use super::inspect::{ColumnKind, ColumnSchema, Limits, TableSchema, UniqueIndex};
use super::our_tables;
use super::postgres::fetch;
use super::stored::Stored;

/// The user's tables that are found without naming their schema.
pub(super) async fn table_names(connection: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    let sql = "select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
               where c.relkind in ('r', 'p', 'f') and pg_table_is_visible(c.oid) and n.nspname = any (current_schemas(false))
               order by 1";
    let rows = fetch(connection, sql, Vec::new()).await?;
    Ok(rows.into_iter().map(|row| text(&row, 0)).filter(|name| !our_tables::NAMES.contains(&name.as_str())).collect())
}

/// What a table or view looks like.
pub(super) async fn table(connection: &mut PgConnection, written: &str) -> sqlx::Result<Option<TableSchema>> {
    let (schema, name) = split_schema(written);
    let sql = "select n.nspname::text, c.relname::text, c.oid::int8, pg_table_is_visible(c.oid)
               from pg_class c join pg_namespace n on n.oid = c.relnamespace
               where c.relkind in ('r', 'p', 'f', 'v') and lower(c.relname) = lower($2)
                 and (lower(n.nspname) = lower($1) or $1 is null and n.nspname = any (current_schemas(false)))
               order by c.relname = $2 desc, n.nspname = $1 desc nulls last,
                 array_position(current_schemas(false), n.nspname) limit 1";
    let given = vec![schema.map_or(Stored::Null, |schema| Stored::Text(schema.to_owned())), Stored::Text(name.to_owned())];
    let rows = fetch(connection, sql, given).await?;
    let Some(found) = rows.first() else { return Ok(None) };
    let oid = Stored::Integer(number(found, 2).unwrap_or_default());
    let mut columns = columns(connection, oid.clone()).await?;
    let unique_indexes = unique_indexes(connection, oid).await?;
    if let Some(primary) = unique_indexes.iter().find(|index| index.name == PRIMARY_KEY) {
        for column in &mut columns {
            let position = primary.columns.iter().position(|name| *name == column.name);
            column.primary_key = position.and_then(|position| u32::try_from(position + 1).ok());
        }
    }
    let (schema, name, in_default_schema) = (text(found, 0), text(found, 1), flag(found, 3));
    Ok(Some(TableSchema { schema, in_default_schema, name, columns, unique_indexes, refused: None }))
}

const PRIMARY_KEY: &str = "primary key";

async fn columns(connection: &mut PgConnection, oid: Stored) -> sqlx::Result<Vec<ColumnSchema>> {
    let sql = "with recursive base (attnum, type, modifier, refuses_null, has_default) as (
                 select attnum, atttypid, atttypmod, attnotnull, false from pg_attribute
                 where attrelid = $1::oid and attnum > 0 and not attisdropped
                 union all
                 select base.attnum, t.typbasetype, t.typtypmod, base.refuses_null or t.typnotnull,
                   base.has_default or t.typdefault is not null
                 from base join pg_type t on t.oid = base.type where t.typtype = 'd')
               select a.attname::text, format_type(a.atttypid, a.atttypmod), base.refuses_null,
                 coalesce(pg_get_expr(d.adbin, d.adrelid), case when base.has_default then 'default of its domain' end),
                 a.attidentity::text, a.attgenerated::text, t.typname::text, t.typtype::text, t.typcategory::text, base.modifier,
                 format_type(t.oid, -1), coalesce(not k.collisdeterministic, false),
                 (select json_agg(enumlabel order by enumsortorder)::text from pg_enum where enumtypid = t.oid)
               from base join pg_attribute a on a.attrelid = $1::oid and a.attnum = base.attnum
               join pg_type t on t.oid = base.type and t.typtype <> 'd'
               left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
               left join pg_collation k on k.oid = a.attcollation
               order by a.attnum";
    let rows = fetch(connection, sql, vec![oid]).await?;
    Ok(rows.iter().map(|row| column(row)).collect())
}

fn column(row: &[Stored]) -> ColumnSchema {
    let (identity, generated) = (text(row, 4), text(row, 5));
    let (name, category, modifier) = (text(row, 6), text(row, 8), number(row, 9).unwrap_or(-1));
    let is_enum = text(row, 7) == "e";
    let kind = match category.as_str() {
        "A" => ColumnKind::List,
        _ if is_enum => ColumnKind::Text,
        _ => kind_of(&name),
    };
    let default = optional(row, 3).filter(|_| generated.is_empty());
    ColumnSchema {
        name: text(row, 0),
        declared: text(row, 1),
        kind,
        converts_numbers: false,
        not_null: flag(row, 2),
        default: if identity == "d" { Some("identity".to_owned()) } else { default },
        primary_key: None,
        generated: !generated.is_empty() || identity == "a",
        cast: text(row, 10),
        folds: name == "citext" || flag(row, 11),
        folds_letters: name == "citext" || flag(row, 11),
        limits: Limits { words: texts(row, 12), ..limits(&name, modifier) },
    }
}

fn kind_of(type_name: &str) -> ColumnKind {
    match type_name {
        "text" | "varchar" | "bpchar" | "name" | "citext" => ColumnKind::Text,
        "int2" | "int4" | "int8" => ColumnKind::Integer,
        "numeric" => ColumnKind::Decimal,
        "float4" | "float8" => ColumnKind::Real,
        "bool" => ColumnKind::Boolean,
        "date" => ColumnKind::Date,
        "time" => ColumnKind::Time,
        "timestamp" | "timestamptz" => ColumnKind::Timestamp,
        "uuid" => ColumnKind::Uuid,
        "json" | "jsonb" => ColumnKind::Json,
        "bytea" => ColumnKind::Bytes,
        _ => ColumnKind::Unknown,
    }
}

/// What fits, by the type's name and its modifier as the catalogue keeps it (-1: none).
fn limits(type_name: &str, modifier: i64) -> Limits {
    let limits = Limits { refuses_nul: true, ..Limits::default() };
    match type_name {
        "varchar" | "bpchar" if modifier >= 4 => Limits { characters: u64::try_from(modifier - 4).ok(), ..limits },
        "int2" => Limits { whole: Some((i16::MIN.into(), i16::MAX.into())), ..limits },
        "int4" => Limits { whole: Some((i32::MIN.into(), i32::MAX.into())), ..limits },
        "numeric" if modifier >= 4 => {
            let (precision, scale) = (((modifier - 4) >> 16) & 0xffff, (modifier - 4) & 0x7ff);
            let digits = u32::try_from(precision).ok().zip(u32::try_from(scale).ok());
            // a negative scale rounds on purpose; the database says what does not fit
            Limits { digits: digits.filter(|(_, scale)| *scale < 1024), ..limits }
        }
        "time" | "timestamp" | "timestamptz" => Limits {
            fraction: Some(u8::try_from(modifier).unwrap_or(6)),
            zoned: (type_name != "time").then_some(type_name == "timestamptz"),
            ..limits
        },
        _ => limits,
    }
}

async fn unique_indexes(connection: &mut PgConnection, oid: Stored) -> sqlx::Result<Vec<UniqueIndex>> {
    let sql = "select c.relname::text, i.indisprimary, i.indpred is null and i.indimmediate and i.indisvalid
                 and bool_and(k.attnum > 0), json_agg(a.attname order by k.position)::text
               from pg_index i join pg_class c on c.oid = i.indexrelid
               cross join lateral unnest(i.indkey::int2[]) with ordinality as k (attnum, position)
               left join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum and k.attnum > 0
               where i.indrelid = $1::oid and i.indisunique and k.position <= i.indnkeyatts
               group by c.relname, i.indisprimary, i.indpred is null, i.indimmediate, i.indisvalid
               order by i.indisprimary desc, c.relname";
    let rows = fetch(connection, sql, vec![oid]).await?;
    let index = |row: &Vec<Stored>| UniqueIndex {
        name: if flag(row, 1) { PRIMARY_KEY.to_owned() } else { text(row, 0) },
        whole: flag(row, 2),
        columns: texts(row, 3),
    };
    Ok(rows.iter().map(index).collect())
}
