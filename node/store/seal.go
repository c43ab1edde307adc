package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
)

// A value on disk is a byte, a CRC-32C of bucket, key and value, big-endian, and the value. Values of before schema 2
// stand as they were given: a row (1 and JSON) or plain JSON. The bucket meta keeps its few numbers plain, so that any
// version can read the schema.
const (
	sealed    = 2
	sealBytes = 5
	plainRow  = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errSeal is damage that no page shows.
var errSeal = errors.New("its checksum is wrong")

// bucketSums are where the checksums of the buckets' rows begin.
var bucketSums = func() map[string]uint32 {
	sums := map[string]uint32{}
	for _, b := range buckets {
		sums[b] = bucketSum(b)
	}
	return sums
}()

func bucketSum(name string) uint32 { return crc32.Checksum(append([]byte(name), 0), castagnoli) }

func checksum(bucket string, key, value []byte) uint32 {
	sum, ok := bucketSums[bucket]
	if !ok { // one of an older schema
		sum = bucketSum(bucket)
	}
	return crc32.Update(crc32.Update(sum, castagnoli, key), castagnoli, value)
}

// seal is what goes to disk for a value.
func seal(bucket string, key, value []byte) []byte {
	if bucket == BucketMeta {
		return value
	}
	b := make([]byte, sealBytes, sealBytes+len(value))
	b[0] = sealed
	binary.BigEndian.PutUint32(b[1:], checksum(bucket, key, value))
	return append(b, value...)
}

// unseal returns the value that was sealed, a part of raw; nil for nil. Errors: errSeal.
func unseal(bucket string, key, raw []byte) ([]byte, error) {
	switch {
	case raw == nil || bucket == BucketMeta:
		return raw, nil
	case len(raw) >= sealBytes && raw[0] == sealed:
		v := raw[sealBytes:]
		if checksum(bucket, key, v) != binary.BigEndian.Uint32(raw[1:]) {
			return nil, errSeal
		}
		return v, nil
	case len(raw) > 0 && raw[0] == plainRow && json.Valid(raw[1:]), json.Valid(raw):
		return raw, nil
	}
	return nil, errSeal
}

// value is unseal with the error that people see.
func (s *Store) value(bucket string, key, raw []byte) ([]byte, error) {
	v, err := unseal(bucket, key, raw)
	if err != nil {
		return nil, damaged(s.db.Path(), fmt.Sprintf("row %x of %s: %v", key, bucket, err))
	}
	return bytes.Clone(v), nil
}
