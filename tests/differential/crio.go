package main

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/types"
)

type crioQuestion struct {
	Host  ocispec.Platform `json:"host"`
	Index []entry          `json:"index"`
}

// answerCriO picks from an index as CRI-O does. It never looks inside what it picks.
func answerCriO(question crioQuestion) (indexAnswer, error) {
	registry, index := blobs{}, ocispec.Index{MediaType: ocispec.MediaTypeImageIndex}
	index.SchemaVersion = 2
	digests := []digest.Digest{}
	for i, e := range question.Index {
		descriptor, err := registry.addEntry(e, strconv.Itoa(i))
		if err != nil {
			return indexAnswer{}, err
		}
		descriptor.Platform = e.Platform
		index.Manifests = append(index.Manifests, descriptor)
		digests = append(digests, descriptor.Digest)
	}
	text, err := json.Marshal(index)
	if err != nil {
		return indexAnswer{}, err
	}
	list, err := manifest.ListFromBlob(text, ocispec.MediaTypeImageIndex)
	if err != nil {
		return indexAnswer{}, err
	}
	chosen, err := list.ChooseInstance(&types.SystemContext{
		OSChoice:           question.Host.OS,
		ArchitectureChoice: question.Host.Architecture,
		VariantChoice:      question.Host.Variant,
	})
	if err != nil {
		return indexAnswer{Error: err.Error()}, nil
	}
	return indexAnswer{Match: true, Chosen: []int{slices.Index(digests, chosen)}}, nil
}
