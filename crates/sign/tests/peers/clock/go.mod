module prograde.test/clock

go 1.25.0

require (
	github.com/sigstore/timestamp-authority/v2 v2.1.3
	github.com/spf13/viper v1.21.0
)
