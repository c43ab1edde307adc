// Command sample is the demo's job: it renders /workspace/in/scene.txt to /workspace/out/frame.png and writes
// /workspace/out/report.json.
//
// Invariants: integers only, so every machine makes the same bytes; one core; about 10 s for the demo's scene, more
// with `samples`. A second implementation in cmd/gpuai/demo/check recomputes pixels from these rules, so changing one
// means changing both:
//
//	positions are scene numbers × 1024; unit vectors have length 2^20; >> is arithmetic, / truncates, isqrt rounds down
//	unit(v) = v · 2^20 / isqrt(v·v); a zero vector stays zero
//	ray of sub-sample (i, j) of n × n in pixel (px, py), w × h pixels: unit of
//	  x = ((2(px·n+i)+1 − w·n) · 2^20) / (h·n), y = ((h·n − 2(py·n+j)−1) · 2^20) / (h·n), z = 3 · 2^19
//	sphere: q = o − centre, b = (q·d) >> 20, t = −b − isqrt(b·b − q·q + r·r); hit if t > 64; normal = unit(p − centre)
//	floor: t = ((y − o.y) · 2^20) / d.y; hit if t > 64; normal (0, 2^20, 0); the tile (x>>17 + z>>17) & 1 picks the colour
//	p = o + (d·t) >> 20; the first nearest hit wins, spheres in order, then the floor; beyond 2^26 nothing is hit
//	light: l = unit(light − p); lit unless a hit from p along l is nearer than isqrt(|light − p|²)
//	shade = colour · (200 + (max(0, n·l >> 20) · 800 >> 20)) / 1000, without the second term in shadow
//	mirror k %: up to 4 times r = unit(d − (2 · (d·n >> 20) · n) >> 20); colour = (shade·(100−k) + next·k) / 100
//	sky: low + ((high − low) · max(0, d.y)) >> 20; a pixel is the sum of its sub-samples / n²
//
// Concurrency: one goroutine. Persistence: the two output files. Next: main.go, scene.go, trace.go.
package main
