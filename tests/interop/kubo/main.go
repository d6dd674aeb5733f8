// SPDX-License-Identifier: MIT

// Package main is Kubo's own `ipfs` command, built from a pinned version. A
// module of our own stands between, because Kubo's go.mod has `exclude` lines
// and `go install` of a remote version refuses those; go.sum here also pins
// every module that Kubo brings with it.
package main

import (
	"os"

	"github.com/ipfs/kubo/cmd/ipfs/kubo"
)

func main() {
	os.Exit(kubo.Start(kubo.BuildDefaultEnv))
}
