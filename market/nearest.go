package market

// Nearest returns the known word that a misspelt one probably means: the one with the fewest edits (a byte added, taken
// or replaced), at most within and fewer than its own length; the first of equals. Empty if there is none, or if word
// has more than 64 bytes.
func Nearest(word string, known []string, within int) string {
	best, at := "", within+1
	if len(word) > 64 {
		return ""
	}
	for _, k := range known {
		if d := editDistance(word, k); d < at && d < len(k) {
			best, at = k, d
		}
	}
	return best
}

// editDistance is Levenshtein's, over bytes: all our words are ASCII.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diag, row[j+1] = row[j+1], min(diag+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
