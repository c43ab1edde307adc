package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// memoryOf is what a process has in memory, what of it is not in a file, and the most that it ever had, in MB.
func memoryOf(pid int) (mb [3]float64, err error) {
	for i, key := range []string{"VmRSS", "RssAnon", "VmHWM"} {
		var kb float64
		if _, err := fmt.Sscan(field(fmt.Sprintf("/proc/%d/status", pid), key, ":"), &kb); err != nil {
			return mb, fmt.Errorf("read memory of the node: %w", err)
		}
		mb[i] = kb * 1024 / 1e6
	}
	return mb, nil
}

// mapping is what a group of a process's mappings holds in memory, in bytes. own: not also in the file that it shows.
type mapping struct {
	name          string
	resident, own float64
}

// mappings groups what a process has in memory by what it is for; exe is its program.
func mappings(pid int, exe string) ([]mapping, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		return nil, fmt.Errorf("read mappings of the node: %w", err)
	}
	defer f.Close()
	out := []mapping{{name: "code"}, {name: "constants"}, {name: "variables"}, {name: "go_heap"}, {name: "store"},
		{name: "libraries"}, {name: "rest"}}
	at := 0
	for s := bufio.NewScanner(f); s.Scan(); {
		words := strings.Fields(s.Text())
		switch {
		case len(words) > 4 && strings.Contains(words[0], "-"):
			at = groupOf(words, exe)
		case len(words) == 3 && words[2] == "kB":
			var kb float64
			if _, err := fmt.Sscan(words[1], &kb); err != nil {
				return nil, fmt.Errorf("read mappings of the node: %w", err)
			}
			switch words[0] {
			case "Rss:":
				out[at].resident += kb * 1024
			case "Anonymous:":
				out[at].own += kb * 1024
			}
		}
	}
	return out, nil
}

// groupOf is the place in mappings of a line such as "7f00-7f10 r-xp 00000000 fe:00 123 /usr/bin/gpuai".
func groupOf(words []string, exe string) int {
	path := strings.Join(words[5:], " ")
	switch {
	case path == exe && strings.Contains(words[1], "x"):
		return 0
	case path == exe && !strings.Contains(words[1], "w"):
		return 1
	case path == exe:
		return 2
	case path == "" && len(words[0]) > 20 && !strings.HasPrefix(words[0], "7f"):
		return 3 // Go's arenas lie between the program and what the kernel maps; goroutines' stacks are in them
	case strings.HasSuffix(path, ".db"):
		return 4
	case strings.Contains(path, ".so"):
		return 5
	}
	return 6
}
