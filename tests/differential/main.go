// The oracle of the differential tests: it answers questions by running the code of the container runtimes and of
// Kubernetes itself, at the versions of go.mod.
//
//	oracle MODE    reads one question a line (JSON) on standard input, writes one answer a line on standard output
//
// It leaves out what platform-gate says to the same questions, and every comparison: that is done by the tests that
// run it.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"k8s.io/klog/v2"
)

var modes = map[string]func(io.Reader, io.Writer) error{
	"containerd": serve(answerContainerd),
	"cri-o":      serve(answerCriO),
	"keyring":    serve(answerKeyring),
	"matcher":    serve(answerMatcher),
	"placement":  serve(answerPlacement),
	"reference":  serve(answerReference),
}

func main() {
	if len(os.Args) != 2 || modes[os.Args[1]] == nil {
		names := strings.Join(slices.Sorted(maps.Keys(modes)), " | ")
		fmt.Fprintf(os.Stderr, "usage: oracle %s\n", names)
		os.Exit(2)
	}
	// What the libraries would log of a question is no answer to it.
	klog.SetLogger(klog.Logger{})
	if err := modes[os.Args[1]](os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "oracle %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

// serve answers every line of its input. Answers are sent as soon as no further question is waiting, so that it can
// be asked in bulk and in turns.
func serve[Question, Answer any](answer func(Question) (Answer, error)) func(io.Reader, io.Writer) error {
	return func(in io.Reader, out io.Writer) error {
		reader, writer := bufio.NewReaderSize(in, 1<<20), bufio.NewWriterSize(out, 1<<20)
		encoder := json.NewEncoder(writer)
		for number := 1; ; number++ {
			if reader.Buffered() == 0 {
				if err := writer.Flush(); err != nil {
					return err
				}
			}
			line, err := reader.ReadBytes('\n')
			if errors.Is(err, io.EOF) && len(line) == 0 {
				return writer.Flush()
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			var question Question
			if err := json.Unmarshal(line, &question); err != nil {
				return fmt.Errorf("line %d: %w", number, err)
			}
			said, err := answer(question)
			if err != nil {
				return fmt.Errorf("line %d: %w", number, err)
			}
			if err := encoder.Encode(said); err != nil {
				return err
			}
		}
	}
}
