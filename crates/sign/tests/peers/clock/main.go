// Command clock is Sigstore's timestamp authority with a key in memory, without the server for metrics that the program
// `timestamp-server` starts at a port which can't be chosen: several of it run at once in tests.
package main

import (
	"log"
	"os"
	"strconv"
	"time"

	"github.com/sigstore/timestamp-authority/v2/pkg/server"
	"github.com/spf13/viper"
)

func main() {
	port, err := strconv.Atoi(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	const policy = "1.3.6.1.4.1.57264.2"
	viper.Set("timestamp-signer", "memory")
	viper.Set("timestamp-signer-hash", "sha256")
	viper.Set("disable-ntp-monitoring", true)
	viper.Set("max-request-body-size", 1<<20)
	viper.Set("default-policy-oid", policy)
	viper.Set("accepted-policy-oids", []string{policy})
	authority := server.NewRestAPIServer("127.0.0.1", port, []string{"http"}, false, time.Minute, time.Minute)
	log.Fatal(authority.Serve())
}
