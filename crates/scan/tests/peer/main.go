// Compares pairs of versions as Go's own tools do. Reads a JSON list of pairs, writes a JSON list of -1, 0, 1 or null.
package main

import (
	"encoding/json"
	"os"

	"golang.org/x/mod/semver"
)

func main() {
	var pairs [][2]string
	if err := json.NewDecoder(os.Stdin).Decode(&pairs); err != nil {
		panic(err)
	}
	answers := make([]*int, len(pairs))
	for i, pair := range pairs {
		left, right := "v"+pair[0], "v"+pair[1]
		if semver.IsValid(left) && semver.IsValid(right) {
			order := semver.Compare(left, right)
			answers[i] = &order
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		panic(err)
	}
}
