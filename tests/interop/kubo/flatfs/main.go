// SPDX-License-Identifier: MIT

// Package main stores blocks as Kubo does: flatfs, synced, in batches of 8 MiB
// as its importer sends them. It prints one line of JSON.
//
//	usage: flatfs FOLDER COUNT BYTES
package main

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/ipfs/go-datastore"
	flatfs "github.com/ipfs/go-ds-flatfs"
)

const batchBytes = 8 << 20

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "flatfs:", err)
		os.Exit(1)
	}
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	check(err)
	return n
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: flatfs FOLDER COUNT BYTES")
		os.Exit(2)
	}
	count, size := number(os.Args[2]), number(os.Args[3])
	store, err := flatfs.CreateOrOpen(os.Args[1], flatfs.IPFS_DEF_SHARD, true)
	check(err)
	blocks := make([][]byte, count)
	keys := make([]datastore.Key, count)
	for i := range blocks {
		blocks[i] = make([]byte, size)
		binary.LittleEndian.PutUint64(blocks[i], uint64(i)+1)
		digest := sha256.Sum256(blocks[i])
		multihash := append([]byte{0x12, 0x20}, digest[:]...)
		keys[i] = datastore.NewKey(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(multihash))
	}
	began := time.Now()
	ctx := context.Background()
	for i := 0; i < count; {
		batch, err := store.Batch(ctx)
		check(err)
		for bytes := 0; i < count && bytes < batchBytes; i++ {
			check(batch.Put(ctx, keys[i], blocks[i]))
			bytes += size
		}
		check(batch.Commit(ctx))
	}
	seconds := time.Since(began).Seconds()
	check(store.Close())
	fmt.Printf("{\"seconds\": %.6f}\n", seconds)
}
