// Answers questions about ranges of versions with Masterminds' library, which Flux and Sprig use. Read is a JSON list of
// pairs of range and version; written is a list of "yes", "no", "range" (that is none) or "version" (that is none).
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/Masterminds/semver/v3"
)

func answer(constraint, version string) string {
	parsed, err := semver.NewConstraint(constraint)
	if err != nil {
		return "range"
	}
	read, err := semver.NewVersion(version)
	if err != nil {
		return "version"
	}
	if parsed.Check(read) {
		return "yes"
	}
	return "no"
}

func main() {
	var pairs [][2]string
	if err := json.NewDecoder(os.Stdin).Decode(&pairs); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	answers := make([]string, len(pairs))
	for index, pair := range pairs {
		answers[index] = answer(pair[0], pair[1])
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
