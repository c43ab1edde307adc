package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The layout of bbolt's pages, little-endian: a header of id u64, flags u16, count u16, overflow u32, then elements of
// 16 bytes. A branch element is pos u32, key size u32, page u64; a leaf element flags u32, pos u32, key size u32, value
// size u32; pos counts from the element. A bucket's value is root u64, sequence u64 and, with root 0, a leaf page
// inside it. A meta page has, behind its header, 32 bytes, the free list's page u64, the number of pages u64 and the
// transaction u64; the free list is u64s.
const (
	pageHeader   = 16
	pageElement  = 16
	bucketHeader = 16
	flagBranch   = 1
	flagLeaf     = 2
	flagBucket   = 1
	flagFree     = 0x10
	maxDepth     = 64

	metaFree  = pageHeader + 32
	metaTx    = pageHeader + 48
	noFree    = ^uint64(0) // the file has no free list
	countElse = 0xffff     // the free list's length is its first element
)

// pages checks a file in one pass before bbolt walks it, since damage would send that into a panic in a goroutine of
// its own, or round in a circle: every page is in the file, is what its place says, and has one parent, and every
// element lies within its page, and keys ascend, on a page and below their parents, and every row is as it was sealed.
type pages struct {
	file io.ReaderAt
	size int64 // of a page
	end  uint64
	seen []uint64 // a bit for each page
	bufs [maxDepth + 2][]byte

	bucket string // whose pages are read
	row    error  // the first row that is not as it was sealed
}

func newPages(file io.ReaderAt, size int64, end uint64) *pages {
	return &pages{file: file, size: size, end: end, seen: make([]uint64, end/64+1)}
}

// span is where a page's keys lie: at from or above it, below to; nil: no limit.
type span struct{ from, to []byte }

// holds reports whether a key lies in the span and, but for the page's first, above the one before it.
func (s span) holds(key, before []byte) bool {
	return bytes.Compare(key, s.from) >= 0 && (s.to == nil || bytes.Compare(key, s.to) < 0) &&
		(before == nil || bytes.Compare(key, before) > 0)
}

// tree checks the pages below root. inner: those of one of our buckets, which hold no further bucket.
func (p *pages) tree(root uint64, keys span, inner bool, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("page %d lies too deep", root)
	}
	b, err := p.read(root, depth)
	if err != nil {
		return err
	}
	switch flags := binary.LittleEndian.Uint16(b[8:]); {
	case flags == flagLeaf:
		return p.leaf(b, root, keys, inner, depth)
	case flags == flagBranch:
		return p.branch(b, root, keys, inner, depth)
	default:
		return fmt.Errorf("page %d is of kind %d", root, flags)
	}
}

// branch checks a branch page and what is below it, from its last element to its first: each ends where the next one
// begins.
func (p *pages) branch(b []byte, id uint64, keys span, inner bool, depth int) error {
	n := int(binary.LittleEndian.Uint16(b[10:]))
	if n == 0 || pageHeader+n*pageElement > len(b) {
		return fmt.Errorf("page %d has %d elements", id, n)
	}
	below := keys
	for i := n - 1; i >= 0; i-- {
		at := pageHeader + i*pageElement
		e := b[at:]
		pos, size := binary.LittleEndian.Uint32(e), binary.LittleEndian.Uint32(e[4:])
		if !within(b, at, pos, size, 0) {
			return fmt.Errorf("element %d of page %d", i, id)
		}
		below.from = e[pos:][:size]
		if !(span{keys.from, below.to}).holds(below.from, nil) {
			return fmt.Errorf("keys of page %d are out of order", id)
		}
		if err := p.tree(binary.LittleEndian.Uint64(e[8:]), below, inner, depth+1); err != nil {
			return err
		}
		below.to = below.from
	}
	return nil
}

// leaf checks a leaf page, of the file or inside a bucket's value.
func (p *pages) leaf(b []byte, id uint64, keys span, inner bool, depth int) error {
	n := int(binary.LittleEndian.Uint16(b[10:]))
	if pageHeader+n*pageElement > len(b) {
		return fmt.Errorf("page %d has %d elements", id, n)
	}
	var before []byte
	for i := range n {
		at := pageHeader + i*pageElement
		e := b[at:]
		flags, pos, key, value := binary.LittleEndian.Uint32(e), binary.LittleEndian.Uint32(e[4:]),
			binary.LittleEndian.Uint32(e[8:]), binary.LittleEndian.Uint32(e[12:])
		if !within(b, at, pos, key, value) || flags != 0 && flags != flagBucket || (flags == flagBucket) == inner {
			return fmt.Errorf("element %d of page %d", i, id)
		}
		k, v := e[pos:][:key], e[pos+key:][:value]
		if !keys.holds(k, before) {
			return fmt.Errorf("keys of page %d are out of order", id)
		}
		before = k
		if inner {
			if _, err := unseal(p.bucket, k, v); err != nil && p.row == nil {
				p.row = fmt.Errorf("row %x of %s: %w", k, p.bucket, err)
			}
			continue
		}
		p.bucket = string(k)
		if len(v) < bucketHeader {
			return fmt.Errorf("bucket %d of page %d", i, id)
		}
		root := binary.LittleEndian.Uint64(v)
		var err error
		switch in := v[bucketHeader:]; {
		case root != 0:
			err = p.tree(root, span{}, true, depth+1)
		case len(in) < pageHeader || binary.LittleEndian.Uint16(in[8:]) != flagLeaf:
			err = fmt.Errorf("bucket %d of page %d", i, id)
		default:
			err = p.leaf(in, id, span{}, true, depth+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// within reports whether an element at an offset of a page lies inside it, behind the elements' heads.
func within(b []byte, at int, pos, key, value uint32) bool {
	return pos >= pageElement && uint64(at)+uint64(pos)+uint64(key)+uint64(value) <= uint64(len(b))
}

// free checks the free list that the transaction's meta page names, if it names one: a page that is free and in use
// would be written over.
func (p *pages) free(tx uint64) error {
	meta := make([]byte, metaTx+8)
	if _, err := p.file.ReadAt(meta, int64(tx%2)*p.size); err != nil {
		return fmt.Errorf("meta page: %w", err)
	}
	if binary.LittleEndian.Uint64(meta[metaTx:]) != tx {
		return errors.New("meta page is of another transaction")
	}
	root := binary.LittleEndian.Uint64(meta[metaFree:])
	if root == noFree {
		return nil
	}
	b, err := p.read(root, 0)
	if err != nil {
		return err
	}
	list, n := b[pageHeader:], uint64(binary.LittleEndian.Uint16(b[10:]))
	if n == countElse {
		n, list = binary.LittleEndian.Uint64(list), list[8:]
	}
	if binary.LittleEndian.Uint16(b[8:]) != flagFree || n > uint64(len(list)/8) {
		return fmt.Errorf("page %d is no free list", root)
	}
	for i := range n {
		if err := p.take(binary.LittleEndian.Uint64(list[8*i:]), 0); err != nil {
			return err
		}
	}
	return nil
}

// take notes a page and those that follow it; each is taken once.
func (p *pages) take(id, more uint64) error {
	if id < 2 || id >= p.end || more >= p.end-id {
		return fmt.Errorf("page %d is not in the file", id)
	}
	for n := id; n <= id+more; n++ {
		if p.seen[n/64]&(1<<(n%64)) != 0 {
			return fmt.Errorf("page %d stands in two places", n)
		}
		p.seen[n/64] |= 1 << (n % 64)
	}
	return nil
}

// read returns a page with its overflow, until the next page of its depth is read.
func (p *pages) read(id uint64, depth int) ([]byte, error) {
	if id < 2 || id >= p.end {
		return nil, fmt.Errorf("page %d is not in the file", id)
	}
	if p.bufs[depth] == nil {
		p.bufs[depth] = make([]byte, p.size)
	}
	b := p.bufs[depth][:p.size]
	if _, err := p.file.ReadAt(b, int64(id)*p.size); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	more := uint64(binary.LittleEndian.Uint32(b[12:]))
	if binary.LittleEndian.Uint64(b) != id || more >= p.end-id {
		return nil, fmt.Errorf("page %d has another number or length", id)
	}
	if err := p.take(id, more); err != nil || more == 0 {
		return b, err
	}
	if size := int64(more+1) * p.size; int64(cap(b)) < size {
		p.bufs[depth] = make([]byte, size)
	}
	b = p.bufs[depth][:int64(more+1)*p.size]
	if _, err := p.file.ReadAt(b, int64(id)*p.size); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return b, nil
}
