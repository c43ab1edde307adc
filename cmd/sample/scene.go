package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Limits of a scene: a job that a stranger's text can make endless would be a poor example.
const (
	maxSide    = 4096
	maxSamples = 64
	maxSpheres = 64
	maxCoord   = 10_000
)

type vec struct{ x, y, z int64 }

type sphere struct {
	at     vec
	r      int64
	color  vec
	mirror int64
}

type scene struct {
	w, h, n   int64
	camera    vec
	light     vec
	low, high vec
	floor     int64
	tiles     [2]vec
	floorMix  int64
	spheres   []sphere
}

var errScene = errors.New("bad scene")

// keyword says how many numbers a line takes.
var keyword = map[string]int{
	"size": 2, "samples": 1, "camera": 3, "light": 3, "sky": 6, "floor": 8, "sphere": 8,
}

// parseScene reads the scene's text: a keyword and numbers a line, # begins a comment. size and samples are required.
func parseScene(text []byte) (scene, error) {
	s := scene{floor: -1 << 40}
	sc := bufio.NewScanner(bytes.NewReader(text))
	for line := 1; sc.Scan(); line++ {
		body, _, _ := strings.Cut(sc.Text(), "#")
		words := strings.Fields(body)
		if len(words) == 0 {
			continue
		}
		want, ok := keyword[words[0]]
		if !ok || len(words) != want+1 {
			return s, fmt.Errorf("%w: line %d: want one of size, samples, camera, light, sky, floor, sphere and its "+
				"numbers", errScene, line)
		}
		num := make([]int64, want)
		for i, w := range words[1:] {
			v, err := strconv.ParseInt(w, 10, 64)
			if err != nil || v < -maxCoord || v > maxCoord {
				return s, fmt.Errorf("%w: line %d: %q is no number from -%d to %d", errScene, line, w, maxCoord,
					maxCoord)
			}
			num[i] = v
		}
		if err := s.set(words[0], num); err != nil {
			return s, fmt.Errorf("%w: line %d: %w", errScene, line, err)
		}
	}
	if err := sc.Err(); err != nil {
		return s, fmt.Errorf("%w: %w", errScene, err)
	}
	if s.w == 0 || s.n == 0 {
		return s, fmt.Errorf("%w: size and samples are needed", errScene)
	}
	return s, nil
}

func (s *scene) set(word string, a []int64) error {
	between := func(v, lo, hi int64) bool { return v >= lo && v <= hi }
	rgb := func(v []int64) bool { return between(v[0], 0, 255) && between(v[1], 0, 255) && between(v[2], 0, 255) }
	ok := true
	switch word {
	case "size":
		ok = between(a[0], 1, maxSide) && between(a[1], 1, maxSide)
		s.w, s.h = a[0], a[1]
	case "samples":
		ok = between(a[0], 1, maxSamples)
		s.n = a[0]
	case "camera":
		s.camera = position(a)
	case "light":
		s.light = position(a)
	case "sky":
		ok = rgb(a) && rgb(a[3:])
		s.low, s.high = vec{a[0], a[1], a[2]}, vec{a[3], a[4], a[5]}
	case "floor":
		ok = rgb(a[1:]) && rgb(a[4:]) && between(a[7], 0, 100)
		s.floor, s.floorMix = a[0]<<10, a[7]
		s.tiles = [2]vec{{a[1], a[2], a[3]}, {a[4], a[5], a[6]}}
	case "sphere":
		ok = between(a[3], 1, maxCoord) && rgb(a[4:]) && between(a[7], 0, 100) && len(s.spheres) < maxSpheres
		s.spheres = append(s.spheres, sphere{position(a), a[3] << 10, vec{a[4], a[5], a[6]}, a[7]})
	}
	if !ok {
		return errors.New("a number is out of range")
	}
	return nil
}

func position(a []int64) vec { return vec{a[0] << 10, a[1] << 10, a[2] << 10} }
