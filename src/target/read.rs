//! Rows read and made outside of deliveries: printed by commands, given and expected by tests.

use serde_json::{Map, Value as Json};

use crate::model::change::{Cell, Change, Operation};
use crate::model::failure::Failure;

use super::bind::Table;
use super::connection::{Connection, Stored};
use super::database::Database;
use super::inspect::TableSchema;
use super::statement;
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
                Some(columns) => live_names(&table, columns)?,
                None => table.schema.columns.iter().map(|column| column.name.clone()).collect(),
            };
            let order = match order {
                [] => table.schema.primary_key().into_iter().map(str::to_owned).collect(),
                order => live_names(&table, order)?,
            };
            let sql = statement::select_all(table.dialect, &table.name, &columns, &order);
            let rows = connection.fetch(&sql, Vec::new()).await.map_err(|error| table.failure(&error))?;
            let json = |row: &Vec<Stored>| columns.iter().cloned().zip(row.iter().map(Stored::to_json)).collect();
            Ok(rows.iter().map(json).collect())
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
        };
        let changes: Vec<_> = rows.iter().enumerate().map(change).collect();
        self.writing(async |connection| write_changes(connection, self.name(), &changes).await.map(drop)).await
    }

    /// What rows would read back as, were they written: to compare expected rows with [`Database::rows`].
    pub async fn as_stored(&self, table: &str, rows: &[Map<String, Json>]) -> Result<Vec<Map<String, Json>>, Failure> {
        self.reading(async |connection| {
            let table = Table::find(connection, self.name(), table).await?;
            let mut stored = Vec::with_capacity(rows.len());
            for (index, row) in rows.iter().enumerate() {
                let bound = table.bind(&cells(&table.name, index, row))?;
                stored.push(bound.into_iter().map(|bound| (bound.column, bound.value.to_json())).collect());
            }
            Ok(stored)
        })
        .await
    }

    /// The user's tables as they are now; not ours, not the database's own.
    pub async fn tables(&self) -> Result<Vec<TableSchema>, Failure> {
        self.reading(async |connection| self.read_tables(connection).await.map_err(|error| self.failure(&error))).await
    }

    async fn read_tables(&self, connection: &mut Connection) -> sqlx::Result<Vec<TableSchema>> {
        let mut tables = Vec::new();
        for name in connection.table_names().await? {
            if let Some(table) = connection.table(&name).await? {
                tables.push(table.as_ref().clone());
            }
        }
        Ok(tables)
    }
}

fn live_names(table: &Table, names: &[String]) -> Result<Vec<String>, Failure> {
    names.iter().map(|name| table.column(name).map(|column| column.name.clone())).collect()
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
