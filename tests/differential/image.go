package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// entry is one descriptor of an index and what it points to: a nested index, or an image whose config states a
// platform. An artifact has the empty config.
type entry struct {
	Platform *ocispec.Platform `json:"platform"`
	Index    *[]entry          `json:"index"`
	Config   *ocispec.Platform `json:"config"`
	Artifact bool              `json:"artifact"`
}

// positionAnnotation marks each image manifest with its position in every index above it.
const positionAnnotation = "position"

// blobs is a content store, and which of its documents have been downloaded.
type blobs map[digest.Digest][]byte

func (b blobs) add(mediaType string, document any) (ocispec.Descriptor, error) {
	text, err := json.Marshal(document)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	key := digest.FromBytes(text)
	b[key] = text
	return ocispec.Descriptor{MediaType: mediaType, Digest: key, Size: int64(len(text))}, nil
}

// addIndex stores an index with all that it points to, as a registry holds it.
func (b blobs) addIndex(entries []entry, position string) (ocispec.Descriptor, error) {
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	index.SchemaVersion = 2
	for i, e := range entries {
		descriptor, err := b.addEntry(e, position+strconv.Itoa(i))
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		descriptor.Platform = e.Platform
		index.Manifests = append(index.Manifests, descriptor)
	}
	// Two indexes without entries would be one document.
	index.Annotations = map[string]string{positionAnnotation: position}
	return b.add(ocispec.MediaTypeImageIndex, index)
}

func (b blobs) addEntry(e entry, position string) (ocispec.Descriptor, error) {
	if e.Index != nil {
		return b.addIndex(*e.Index, position+"/")
	}
	manifest := ocispec.Manifest{
		MediaType:   ocispec.MediaTypeImageManifest,
		Annotations: map[string]string{positionAnnotation: position},
		Layers:      []ocispec.Descriptor{},
	}
	manifest.SchemaVersion = 2
	var err error
	switch {
	case e.Artifact:
		manifest.ArtifactType = "application/vnd.example.artifact"
		manifest.Config, err = b.add(ocispec.MediaTypeEmptyJSON, struct{}{})
	case e.Config != nil:
		manifest.Config, err = b.add(ocispec.MediaTypeImageConfig, e.Config)
	case e.Platform != nil:
		manifest.Config, err = b.add(ocispec.MediaTypeImageConfig, e.Platform)
	default:
		err = fmt.Errorf("entry %s has neither platform nor config nor index", position)
	}
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return b.add(ocispec.MediaTypeImageManifest, manifest)
}

// download keeps a document of the registry's.
func (b blobs) download(descriptor ocispec.Descriptor, registry blobs) error {
	document, ok := registry[descriptor.Digest]
	if !ok {
		return fmt.Errorf("the image lacks %s", descriptor.Digest)
	}
	b[descriptor.Digest] = document
	return nil
}

func (b blobs) open(descriptor ocispec.Descriptor) (blob, error) {
	document, ok := b[descriptor.Digest]
	if !ok {
		return blob{}, fmt.Errorf("content digest %s: %w", descriptor.Digest, errdefs.ErrNotFound)
	}
	return blob{bytes.NewReader(document)}, nil
}

// blob is one document of a store.
type blob struct{ *bytes.Reader }

func (b blob) Close() error { return nil }

// positions reads what addIndex wrote: 1/0 is the first entry of the index that is the second entry of the image.
func positions(text string) ([]int, error) {
	path := []int{}
	for part := range strings.SplitSeq(text, "/") {
		position, err := strconv.Atoi(part)
		if err != nil {
			return nil, err
		}
		path = append(path, position)
	}
	return path, nil
}
