//! Rows read and made outside of deliveries: printed by commands, given and expected by tests.

use serde_json::{Map, Value as Json};

use crate::model::change::{Cell, Change, Operation};
use crate::model::failure::Failure;

use super::bind::Table;
use super::connection::Connection;
use super::database::Database;
use super::decode::decode;
use super::dialect::{Slot, split_schema};
use super::inspect::TableSchema;
use super::statement;
use super::stored::Stored;
use super::write::write_changes;

impl Database {
    /// All rows of a table, in the order of its primary key unless another is given. Integers are exact, bytes are base64 text.
    pub async fn rows(
        &self,
        table: &str,
        columns: Option<&[String]>,
        order: &[String],
    ) -> Result<Vec<Map<String, Json>>, Failure> {
        self.reading(async |connection| {
            let table = Table::find(connection, self.name(), table).await?;
            let columns = match columns {
                Some(columns) => live_slots(&table, columns)?,
                None => table.schema.columns.iter().map(Slot::from).collect(),
            };
            let order = match order {
                [] => table.schema.primary_key().into_iter().map(Slot::named).collect(),
                order => live_slots(&table, order)?,
            };
            let sql = statement::select_all(table.dialect, &table.quoted, &columns, &order);
            let rows = table.fetch(connection, &sql, &[]).await?;
            let json = |(slot, value): (&Slot, Stored)| (slot.name.clone(), decode(table.dialect, slot, value).to_json());
            Ok(rows.into_iter().map(|row| columns.iter().zip(row).map(json).collect()).collect())
        })
        .await
    }

    /// Makes rows, all or none; each value becomes what its column takes, as in a delivery.
    pub async fn insert_rows(&self, table: &str, rows: &[Map<String, Json>]) -> Result<(), Failure> {
        let change = |(index, row): (usize, &Map<String, Json>)| Change {
            database: self.name().to_owned(),
            table: table.to_owned(),
            place: format!("{table}[{index}]"),
            operation: Operation::Insert { set: cells(table, index, row) },
            version: None,
        };
        let changes: Vec<_> = rows.iter().enumerate().map(change).collect();
        self.writing(async |connection| write_changes(connection, self.name(), &changes, false, self.now()).await.map(drop)).await
    }

    /// What rows would read back as, were they written: to compare expected rows with [`Database::rows`].
    pub async fn as_stored(&self, table: &str, rows: &[Map<String, Json>]) -> Result<Vec<Map<String, Json>>, Failure> {
        self.reading(async |connection| {
            let table = Table::find(connection, self.name(), table).await?;
            let mut stored = Vec::with_capacity(rows.len());
            for (index, row) in rows.iter().enumerate() {
                let bound = table.bind(&cells(&table.name, index, row))?;
                stored.push(bound.into_iter().map(|bound| (bound.slot.name, bound.value.to_json())).collect());
            }
            Ok(stored)
        })
        .await
    }

    /// The user's tables as they are now; not ours, not the database's own.
    pub async fn tables(&self) -> Result<Vec<TableSchema>, Failure> {
        self.tables_and(&[]).await
    }

    /// As [`Database::tables`], with those that are `named` with their schema.
    pub async fn tables_and(&self, named: &[&str]) -> Result<Vec<TableSchema>, Failure> {
        self.reading(async |connection| self.read_tables(connection, named).await.map_err(|error| self.failure(&error))).await
    }

    async fn read_tables(&self, connection: &mut Connection, named: &[&str]) -> sqlx::Result<Vec<TableSchema>> {
        let mut tables = Vec::new();
        let named = named.iter().filter(|name| split_schema(name).0.is_some()).map(|name| (*name).to_owned());
        let names: Vec<String> = connection.table_names().await?.into_iter().chain(named).collect();
        for name in names {
            if let Some(table) = connection.table(&name).await? {
                tables.push(table.as_ref().clone());
            }
        }
        Ok(tables)
    }
}

fn live_slots(table: &Table, names: &[String]) -> Result<Vec<Slot>, Failure> {
    names.iter().map(|name| table.column(name).map(Slot::from)).collect()
}

fn cells(table: &str, index: usize, row: &Map<String, Json>) -> Vec<Cell> {
    let cell = |(column, value): (&String, &Json)| Cell {
        column: column.clone(),
        value: value.clone(),
        declared: None,
        origin: format!("{table}[{index}].{column}"),
    };
    row.iter().map(cell).collect()
}
