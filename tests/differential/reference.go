package main

import "github.com/distribution/reference"

type referenceQuestion struct {
	Text string `json:"text"`
}

type referenceAnswer struct {
	// The complete reference; empty where there is none.
	Canonical string `json:"canonical,omitempty"`
	Error     string `json:"error,omitempty"`
}

// answerReference reads an image reference as the kubelet and containerd do.
func answerReference(question referenceQuestion) (referenceAnswer, error) {
	named, err := reference.ParseDockerRef(question.Text)
	if err != nil {
		return referenceAnswer{Error: err.Error()}, nil
	}
	return referenceAnswer{Canonical: named.String()}, nil
}
