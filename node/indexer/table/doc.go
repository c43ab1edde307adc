// Package table writes rows as CSV and as Parquet, as they come: it holds a group of them at most.
//
// A row is a struct of texts, int64 and bool; the tag parquet names its columns. A time is an int64 of unix ms with
// "timestamp(millisecond)", of which CSV has RFC 3339. What is 0 or empty and has "optional" is not known: null, or an
// empty cell.
// Concurrency: a Writer has one user. Persistence: none. Next: table.go.
package table
