// Checks our texts with other people's code, and signs one for us to check: see ../test_independent.py.
//
// Usage: independent DIR. Reads from DIR what the test wrote, ends with status 1 and a sentence at the first
// text that is refused, and prints a checkpoint that it signed and cosigned itself.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	tlog "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/formats/witness"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

type expected struct {
	Origin        string
	LogKey        string
	WitnessKeys   []string
	LogSecret     string
	WitnessSecret string
	Leaf          []byte
	Index         uint64
	OldSize       uint64
	OldRoot       []byte
	Consistency   [][]byte
}

func main() {
	dir := os.Args[1]
	var want expected
	must("expected.json", json.Unmarshal(read(dir, "expected.json"), &want))

	var known []note.Verifier
	logKey, err := note.NewVerifier(want.LogKey)
	must("log key", err)
	for _, key := range want.WitnessKeys {
		witnessKey, err := fnote.NewVerifierForCosignatureV1(key)
		must("witness key", err)
		known = append(known, witnessKey)
	}
	text := read(dir, "checkpoint")
	head, _, opened, err := log.ParseCheckpoint(text, want.Origin, logKey, known...)
	must("checkpoint", err)
	if len(opened.Sigs) != 1+len(known) || len(opened.UnverifiedSigs) != 0 {
		fail("checkpoint: %d signatures verified, %d not", len(opened.Sigs), len(opened.UnverifiedSigs))
	}

	policy, err := witness.ParsePolicy(read(dir, "policy"))
	must("policy", err)
	if !policy.Satisfied(text) {
		fail("policy: the quorum is not satisfied")
	}
	if policy.Satisfied(read(dir, "uncosigned")) {
		fail("policy: satisfied without a cosignature")
	}

	var held tlog.TLogProof
	must("tlog-proof", held.Unmarshal(read(dir, "tlog-proof")))
	if !bytes.Equal(held.ExtraData, want.Leaf) || held.Index != want.Index || !bytes.Equal(held.Checkpoint, text) {
		fail("tlog-proof: read differently")
	}
	if !bytes.Equal(held.Marshal(), read(dir, "tlog-proof")) {
		fail("tlog-proof: written differently")
	}
	var path [][]byte
	for _, hash := range held.Hashes {
		path = append(path, hash[:])
	}
	hasher := rfc6962.DefaultHasher
	must("inclusion", proof.VerifyInclusion(hasher, held.Index, head.Size, hasher.HashLeaf(want.Leaf), path, head.Hash))
	must("consistency", proof.VerifyConsistency(hasher, want.OldSize, head.Size, want.Consistency, want.OldRoot, head.Hash))

	signer, err := note.NewSigner(want.LogSecret)
	must("log secret", err)
	cosigner, err := fnote.NewSignerForCosignatureV1(want.WitnessSecret)
	must("witness secret", err)
	theirs, err := note.Sign(&note.Note{Text: string(head.Marshal())}, signer, cosigner)
	must("signing", err)
	fmt.Print(string(theirs))
}

func read(dir, name string) []byte {
	data, err := os.ReadFile(filepath.Join(dir, name))
	must(name, err)
	return data
}

func must(what string, err error) {
	if err != nil {
		fail("%s: %v", what, err)
	}
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}
