package spec

import "testing"

// TestYAML_MisplacedColon_LineIsItsOwn: words that a line above began do not move the fault there.
func TestYAML_MisplacedColon_LineIsItsOwn(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]int{
		"image: a\nname: b\n  bad: c\n": {3, 6},
		"image: a\nname: b: c\n":        {2, 8},
	} {
		_, faults := ParseFile([]byte(text))
		if len(faults) != 1 || faults[0].Line != want[0] || faults[0].Column != want[1] {
			t.Errorf("%q: %+v, want %v", text, faults, want)
		}
	}
}
