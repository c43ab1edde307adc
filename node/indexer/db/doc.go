// Package db is an indexer's projection of signed documents and of the chain in SQL, on SQLite or PostgreSQL by the
// same text.
//
// Invariants: one Change is one transaction, and so are the events that it causes. An older Offer never replaces a
// newer one. Amounts are below 2^63: Amount refuses others. No text holds NUL, no column that is sorted by is NULL, and
// text sorts by its bytes.
// Concurrency: Apply has one caller at a time, reads have connections of their own. Persistence: the database, which
// may be deleted: it is rebuilt. Next: migrations/, write.go, read.go, market.go.
package db
