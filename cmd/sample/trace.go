package main

import "math/bits"

// Fixed-point constants of doc.go.
const (
	one     = 1 << 20
	nearest = 64
	far     = 1 << 26
	bounces = 4
)

func (a vec) add(b vec) vec       { return vec{a.x + b.x, a.y + b.y, a.z + b.z} }
func (a vec) sub(b vec) vec       { return vec{a.x - b.x, a.y - b.y, a.z - b.z} }
func (a vec) mul(k int64) vec     { return vec{a.x * k, a.y * k, a.z * k} }
func (a vec) div(k int64) vec     { return vec{a.x / k, a.y / k, a.z / k} }
func (a vec) shift(n uint) vec    { return vec{a.x >> n, a.y >> n, a.z >> n} }
func (a vec) dot(b vec) int64     { return a.x*b.x + a.y*b.y + a.z*b.z }
func along(o, d vec, t int64) vec { return o.add(d.mul(t).shift(20)) }
func (a vec) unit() vec {
	l := isqrt(a.dot(a))
	if l == 0 {
		return a
	}
	return a.mul(one).div(l)
}

// isqrt is floor(√v) by Newton's method from above; 0 for v ≤ 0.
func isqrt(v int64) int64 {
	if v <= 0 {
		return 0
	}
	x := int64(1) << ((bits.Len64(uint64(v)) + 1) / 2)
	for {
		y := (x + v/x) >> 1
		if y >= x {
			return x
		}
		x = y
	}
}

type hit struct {
	t      int64
	normal vec
	color  vec
	mirror int64
}

// cast finds the first nearest hit below limit.
func (s *scene) cast(o, d vec, limit int64) (h hit, ok bool) {
	h.t = limit
	best := -1
	for i := range s.spheres {
		p := &s.spheres[i]
		q := o.sub(p.at)
		b := q.dot(d) >> 20
		disc := b*b - q.dot(q) + p.r*p.r
		if disc < 0 {
			continue
		}
		if t := -b - isqrt(disc); t > nearest && t < h.t {
			h.t, best = t, i
		}
	}
	if d.y != 0 {
		if t := ((s.floor - o.y) << 20) / d.y; t > nearest && t < h.t {
			p := along(o, d, t)
			return hit{t, vec{0, one, 0}, s.tiles[(p.x>>17+p.z>>17)&1], s.floorMix}, true
		}
	}
	if best < 0 {
		return h, false
	}
	p := &s.spheres[best]
	return hit{h.t, along(o, d, h.t).sub(p.at).unit(), p.color, p.mirror}, true
}

func (s *scene) shade(o, d vec, depth int) vec {
	h, ok := s.cast(o, d, far)
	if !ok {
		return s.low.add(s.high.sub(s.low).mul(max(0, d.y)).shift(20))
	}
	p := along(o, d, h.t)
	to := s.light.sub(p)
	l := to.unit()
	bright := int64(200)
	if _, dark := s.cast(p, l, isqrt(to.dot(to))); !dark {
		bright += max(0, h.normal.dot(l)>>20) * 800 >> 20
	}
	c := h.color.mul(bright).div(1000)
	if h.mirror == 0 || depth == bounces {
		return c
	}
	r := d.sub(h.normal.mul(2 * (d.dot(h.normal) >> 20)).shift(20)).unit()
	return c.mul(100 - h.mirror).add(s.shade(p, r, depth+1).mul(h.mirror)).div(100)
}

// pixel is the mean colour of a pixel.
func (s *scene) pixel(px, py int64) (r, g, b uint8) {
	var sum vec
	hn := s.h * s.n
	for j := range s.n {
		for i := range s.n {
			d := vec{((2*(px*s.n+i) + 1 - s.w*s.n) << 20) / hn, ((hn - 2*(py*s.n+j) - 1) << 20) / hn, 3 << 19}
			sum = sum.add(s.shade(s.camera, d.unit(), 0))
		}
	}
	c := sum.div(s.n * s.n)
	return uint8(c.x), uint8(c.y), uint8(c.z) //nolint:gosec // colours stay in 0..255: every rule is a weighted mean
}
