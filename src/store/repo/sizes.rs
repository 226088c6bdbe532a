//! Statements of few sizes. Each connection keeps statements that it has prepared, and one with many rows is large: one for
//! each number of rows would push the others out again and again, and memory would creep up with the largest seen.

use sea_orm::prelude::Uuid;
use sea_orm::{DbBackend, Statement, Value};

/// Rows that one statement inserts: SQLite takes 32,766 parameters, and a chat that was behind for long brings many.
pub(in crate::store) const ROWS: usize = 1024;

/// Takes as many rows off as a statement of one of the sizes takes: a power of two.
pub(in crate::store) fn bite<T>(rows: &mut Vec<T>) -> Vec<T> {
    let most = rows.len().min(ROWS);
    let size = if most.is_power_of_two() { most } else { most.next_power_of_two() / 2 };
    rows.drain(..size).collect()
}

/// A list for IN: as long as one of the sizes, by repeating its last value.
pub(in crate::store) fn padded<T: Clone>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut values: Vec<_> = values.into_iter().collect();
    if let Some(last) = values.last().cloned() {
        values.resize(values.len().next_power_of_two(), last);
    }
    values
}

/// The parameter of this number (counted from 1). SQLite has a name for each numbered one and looks for it among all others when
/// it is bound, so there they have none, and stand in a statement in the order of their values.
pub(in crate::store) fn parameter(backend: DbBackend, number: usize) -> String {
    if backend == DbBackend::Sqlite { "?".to_owned() } else { format!("${number}") }
}

/// Parameters for the rows in `values` from the `first` one on (counted from 1), as a VALUES list takes them. The first column
/// is a tenant's id; rows of nobody are added up to one of the sizes.
pub(in crate::store) fn places(backend: DbBackend, values: &mut Vec<Value>, first: usize, columns: usize) -> String {
    let rows = (values.len() + 1 - first) / columns;
    let size = rows.next_power_of_two();
    let last: Vec<_> = values.iter().skip(values.len() - columns + 1).cloned().collect();
    for _ in rows..size {
        values.push(Uuid::nil().into());
        values.extend(last.iter().cloned());
    }
    let row = |row: usize| {
        let parameters = (0..columns).map(|column| parameter(backend, first + row * columns + column));
        format!("({})", parameters.collect::<Vec<_>>().join(", "))
    };
    (0..size).map(row).collect::<Vec<_>>().join(", ")
}

/// A statement that reads for each row of `values` (a VALUES list `v` of so many columns, the first a tenant's id) a few of a
/// table: those that pass the test, in which they are called `next`, in the order of the key, at most `most`. Each database would
/// read the whole table if it were asked in the other's way.
pub(in crate::store) fn few_of_each(
    backend: DbBackend,
    mut values: Vec<Value>,
    columns: usize,
    (table, key): (&str, &str),
    test: &str,
    most: usize,
) -> Statement {
    let rows = places(backend, &mut values, 1, columns);
    values.push(i64::try_from(most).unwrap_or(i64::MAX).into());
    let limit = parameter(backend, values.len());
    let text = if backend == DbBackend::Sqlite {
        format!(
            "SELECT {table}.* FROM (VALUES {rows}) AS v JOIN {table} ON {table}.tenant_id = v.column1 AND {table}.{key} IN \
             (SELECT {key} FROM {table} AS next WHERE {test} ORDER BY next.{key} LIMIT {limit})"
        )
    } else {
        format!(
            "SELECT few.* FROM (VALUES {rows}) AS v CROSS JOIN LATERAL \
             (SELECT next.* FROM {table} AS next WHERE {test} ORDER BY next.{key} LIMIT {limit}) AS few"
        )
    };
    Statement::from_sql_and_values(backend, text, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_bitten_off_in_powers_of_two() {
        let mut rows: Vec<_> = (0..2500).collect();
        let mut sizes = vec![];
        while !rows.is_empty() {
            sizes.push(bite(&mut rows).len());
        }
        assert_eq!(sizes, [1024, 1024, 256, 128, 64, 4]);
    }

    #[test]
    fn a_list_is_padded_with_what_changes_nothing() {
        assert_eq!(padded([1, 2, 3, 4, 5]), [1, 2, 3, 4, 5, 5, 5, 5]);
        assert!(padded(Vec::<i64>::new()).is_empty());
        let tenant = Uuid::from_u128(7);
        let mut values: Vec<Value> = vec![9.into()];
        for row in 0..3 {
            values.extend([Value::from(tenant), row.into()]);
        }
        assert_eq!(places(DbBackend::Postgres, &mut values, 2, 2), "($2, $3), ($4, $5), ($6, $7), ($8, $9)");
        assert_eq!(values.get(7..), Some([Value::from(Uuid::nil()), 2.into()].as_slice()));
        assert_eq!(places(DbBackend::Sqlite, &mut values, 2, 2), "(?, ?), (?, ?), (?, ?), (?, ?)");
    }
}
