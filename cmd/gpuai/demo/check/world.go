package check

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// triple is a vector or a colour; the sample keeps named fields, so a swapped axis shows here.
type triple [3]int64

type ball struct {
	centre, paint triple
	radius        int64
	percent       int64
}

type world struct {
	width, height int
	grid          int
	eye, lamp     triple
	horizon, top  triple
	hasFloor      bool
	level         int64
	squares       [2]triple
	floorPercent  int64
	balls         []ball
}

// readWorld reads a scene that the sample accepts; text that it refuses has no result to check.
func readWorld(text []byte) (*world, error) {
	w := &world{}
	for number, line := range strings.Split(string(text), "\n") {
		if i := strings.IndexByte(line, '#'); i >= 0 {
			line = line[:i]
		}
		if strings.TrimSpace(line) == "" {
			continue
		}
		if err := w.line(line); err != nil {
			return nil, fmt.Errorf("scene line %d: %w", number+1, err)
		}
	}
	if w.width < 1 || w.height < 1 || w.grid < 1 || w.width > 4096 || w.height > 4096 || w.grid > 64 {
		return nil, fmt.Errorf("scene: size or samples missing or out of range")
	}
	return w, nil
}

func (w *world) line(line string) (err error) {
	var a [8]int64
	words := strings.Fields(line)
	scan := func(n int) []int64 {
		if len(words) != n+1 {
			err = fmt.Errorf("%d numbers wanted", n)
			return a[:n]
		}
		for i, text := range words[1:] {
			v, bad := strconv.ParseInt(text, 10, 16) // fmt.Sscan would read 018 as octal
			err, a[i] = errors.Join(err, bad), v
		}
		return a[:n]
	}
	switch words[0] {
	case "size":
		v := scan(2)
		w.width, w.height = int(v[0]), int(v[1])
	case "samples":
		w.grid = int(scan(1)[0])
	case "camera":
		w.eye = scaled(scan(3))
	case "light":
		w.lamp = scaled(scan(3))
	case "sky":
		v := scan(6)
		w.horizon, w.top = triple(v[:3]), triple(v[3:6])
	case "floor":
		v := scan(8)
		w.hasFloor, w.level, w.floorPercent = true, v[0]*1024, v[7]
		w.squares = [2]triple{triple(v[1:4]), triple(v[4:7])}
	case "sphere":
		v := scan(8)
		w.balls = append(w.balls, ball{scaled(v[:3]), triple(v[4:7]), v[3] * 1024, v[7]})
	default:
		err = fmt.Errorf("unknown word")
	}
	return err
}

func scaled(v []int64) triple { return triple{v[0] * 1024, v[1] * 1024, v[2] * 1024} }

// floorRoot uses math/big, not Newton's method on words as the sample does.
func floorRoot(v int64) int64 {
	if v <= 0 {
		return 0
	}
	return new(big.Int).Sqrt(big.NewInt(v)).Int64()
}

func each(f func(i int) int64) (out triple) {
	for i := range out {
		out[i] = f(i)
	}
	return out
}

func inner(a, b triple) (sum int64) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

func normal(a triple) triple {
	length := floorRoot(inner(a, a))
	if length == 0 {
		return a
	}
	return each(func(i int) int64 { return a[i] * 1048576 / length })
}

func move(from, dir triple, t int64) triple {
	return each(func(i int) int64 { return from[i] + dir[i]*t>>20 })
}

func minus(a, b triple) triple { return each(func(i int) int64 { return a[i] - b[i] }) }

// surface is what a ray meets: index of a ball, floorIndex, or none.
type surface int

const (
	none       surface = -1
	floorIndex surface = -2
)

func (w *world) meet(from, dir triple, below int64) (what surface, t int64) {
	what, t = none, below
	for i, b := range w.balls {
		q := minus(from, b.centre)
		half := inner(q, dir) >> 20
		square := half*half - inner(q, q) + b.radius*b.radius
		if square < 0 {
			continue
		}
		if at := -half - floorRoot(square); at > 64 && at < t {
			what, t = surface(i), at
		}
	}
	if w.hasFloor && dir[1] != 0 {
		if at := (w.level - from[1]) * 1048576 / dir[1]; at > 64 && at < t {
			what, t = floorIndex, at
		}
	}
	return what, t
}

// layer is one bounce of a ray: its own colour and how much of the next shows.
type layer struct {
	color   triple
	percent int64
}

// follow collects layers from the eye outwards; colorAt then mixes them from the far end, where the sample recurses.
func (w *world) follow(from, dir triple) (layers []layer) {
	for bounce := 0; ; bounce++ {
		what, t := w.meet(from, dir, 1<<26)
		if what == none {
			up := max(0, dir[1])
			return append(layers, layer{
				color: each(func(i int) int64 { return w.horizon[i] + (w.top[i]-w.horizon[i])*up>>20 })})
		}
		point := move(from, dir, t)
		out, paint, percent := triple{0, 1 << 20, 0}, triple{}, w.floorPercent
		if what == floorIndex {
			paint = w.squares[(point[0]>>17+point[2]>>17)&1]
		} else {
			b := w.balls[what]
			out, paint, percent = normal(minus(point, b.centre)), b.paint, b.percent
		}
		ray := minus(w.lamp, point)
		toLamp := normal(ray)
		strength := int64(200)
		if hit, _ := w.meet(point, toLamp, floorRoot(inner(ray, ray))); hit == none {
			strength += max(0, inner(out, toLamp)>>20) * 800 >> 20
		}
		own := layer{each(func(i int) int64 { return paint[i] * strength / 1000 }), percent}
		if percent == 0 || bounce == 4 {
			own.percent = 0
			return append(layers, own)
		}
		layers = append(layers, own)
		twice := 2 * (inner(dir, out) >> 20)
		dir = normal(each(func(i int) int64 { return dir[i] - out[i]*twice>>20 }))
		from = point
	}
}

func (w *world) colorAt(x, y int) [3]int64 {
	var sum triple
	g, rows, columns := int64(w.grid), int64(w.height*w.grid), int64(w.width*w.grid)
	for sub := range g * g {
		across, down := int64(x)*g+sub%g, int64(y)*g+sub/g
		dir := normal(triple{(2*across + 1 - columns) * 1048576 / rows, (rows - 2*down - 1) * 1048576 / rows, 1572864})
		layers := w.follow(w.eye, dir)
		mix := layers[len(layers)-1].color
		for i := len(layers) - 2; i >= 0; i-- {
			l := layers[i]
			mix = each(func(k int) int64 { return (l.color[k]*(100-l.percent) + mix[k]*l.percent) / 100 })
		}
		for i := range sum {
			sum[i] += mix[i]
		}
	}
	return each(func(i int) int64 { return sum[i] / (g * g) })
}
