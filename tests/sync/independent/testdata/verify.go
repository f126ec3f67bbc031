// Package proof, as transparency-dev/merkle's own tests know it, with our Python code as its verifier:
// this file stands in the place of theirs in a copy of their module. See ../../test_independent.py.
package proof

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"

	"github.com/transparency-dev/merkle"
)

type question struct {
	Kind    string
	Index   uint64
	Size    uint64
	OldSize uint64
	Leaf    []byte
	OldRoot []byte
	Root    []byte
	Proof   [][]byte
}

type answer struct {
	Refused string
	Root    []byte
}

var judge = sync.OnceValues(func() (func(question) answer, error) {
	words := strings.Split(os.Getenv("HUIYIN_JUDGE"), "\n")
	command := exec.Command(words[0], words[1:]...)
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	questions, answers := json.NewEncoder(in), json.NewDecoder(bufio.NewReader(out))
	return func(asked question) answer {
		var given answer
		if err := questions.Encode(asked); err != nil {
			panic(err)
		}
		if err := answers.Decode(&given); err != nil {
			panic(fmt.Sprintf("the judge has died: %v", err))
		}
		return given
	}, nil
})

func ask(asked question) ([]byte, error) {
	put, err := judge()
	if err != nil {
		panic(err)
	}
	given := put(asked)
	if given.Refused != "" {
		return nil, errors.New(given.Refused)
	}
	return given.Root, nil
}

func VerifyInclusion(_ merkle.LogHasher, index, size uint64, leafHash []byte, proof [][]byte, root []byte) error {
	_, err := ask(question{Kind: "inclusion", Index: index, Size: size, Leaf: leafHash, Proof: proof, Root: root})
	return err
}

func RootFromInclusionProof(_ merkle.LogHasher, index, size uint64, leafHash []byte, proof [][]byte) ([]byte, error) {
	root, err := ask(question{Kind: "root", Index: index, Size: size, Leaf: leafHash, Proof: proof})
	if err == nil && bytes.Equal(root, nil) {
		panic("the judge gave no root")
	}
	return root, err
}

func VerifyConsistency(_ merkle.LogHasher, size1, size2 uint64, proof [][]byte, root1, root2 []byte) error {
	_, err := ask(question{Kind: "consistency", OldSize: size1, Size: size2, OldRoot: root1, Root: root2, Proof: proof})
	return err
}
