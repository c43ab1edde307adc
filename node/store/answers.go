package store

import (
	"context"
	"time"
)

// answerRow is what the bucket answers keeps of an idempotency key.
type answerRow struct {
	Expires time.Time `json:"expires"`
	Record  []byte    `json:"record"`
}

// Answers are what creating requests of the API were answered, by their idempotency keys.
type Answers struct{ DB *Store }

// LoadAnswer returns the record of an idempotency key, nil if there is none or it has expired.
func (a Answers) LoadAnswer(key string) ([]byte, error) {
	b, err := a.DB.Get(BucketAnswers, []byte(key))
	if b == nil || err != nil {
		return nil, err
	}
	var r answerRow
	if err := Unrow(b, &r); err != nil || time.Now().After(r.Expires) {
		return nil, err
	}
	return r.Record, nil
}

// SaveAnswer writes the record of a key.
func (a Answers) SaveAnswer(key string, record []byte, expires time.Time) error {
	return a.DB.Commit(context.Background(),
		Change{Puts: []Put{{BucketAnswers, []byte(key), Row(answerRow{expires, record})}}})
}

// DropAnswer frees a key.
func (a Answers) DropAnswer(key string) error {
	return a.DB.Commit(context.Background(), Change{Deletes: []Ref{{BucketAnswers, []byte(key)}}})
}

// Prune deletes what has expired.
func (a Answers) Prune(ctx context.Context, now time.Time) error {
	var c Change
	err := a.DB.Scan(BucketAnswers, nil, func(k, v []byte) error {
		var r answerRow
		if err := Unrow(v, &r); err != nil {
			return err
		}
		if now.After(r.Expires) && len(c.Deletes) < pruneStep {
			c.Deletes = append(c.Deletes, Ref{BucketAnswers, k})
		}
		return nil
	})
	if err != nil || len(c.Deletes) == 0 {
		return err
	}
	return a.DB.Commit(ctx, c)
}
