package main

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

type containerdQuestion struct {
	// Release of containerd/platforms.
	Library string `json:"library"`
	// Whether the pull goes through the transfer service, which downloads the host's exact platform only.
	Transfer bool             `json:"transfer"`
	Host     ocispec.Platform `json:"host"`
	Index    []entry          `json:"index"`
}

type indexAnswer struct {
	Match bool `json:"match"`
	// Position of the image in the index, then in the index there, and so on.
	Chosen []int `json:"chosen,omitempty"`
	// What the runtime said instead.
	Error string `json:"error,omitempty"`
}

// answerContainerd pulls an index as containerd's CRI does, and then looks the image's config up as it does before it
// makes a container.
func answerContainerd(question containerdQuestion) (indexAnswer, error) {
	library, err := libraryOf(question.Library, question.Host)
	if err != nil {
		return indexAnswer{}, err
	}
	entriesStateOS(question.Index, question.Host)
	registry := blobs{}
	root, err := registry.addIndex(question.Index, "")
	if err != nil {
		return indexAnswer{}, err
	}
	matcher := library.byDefault(question.Host)
	var manifest ocispec.Manifest
	switch {
	case library.containerd17 && question.Transfer:
		err = fmt.Errorf("containerd 1.7 does not pull through its transfer service")
	case library.containerd17:
		manifest, err = pull17(registry, root, matcher)
	case question.Transfer:
		manifest, err = transfer(registry, root, library.ordered(question.Host), matcher)
	default:
		manifest, err = pull(registry, root, matcher)
	}
	return describe(manifest, err)
}

// pull does what the client does: it downloads the best entry of every index.
func pull(registry blobs, root ocispec.Descriptor, matcher platforms.MatchComparer) (ocispec.Manifest, error) {
	children := images.FilterPlatforms(images.ChildrenHandler(provider{registry}), matcher)
	return fetchAndLookUp(registry, root, images.LimitManifests(children, matcher, 1), matcher)
}

// transfer does what the transfer service does: it downloads whatever is for the exact platform.
func transfer(
	registry blobs, root ocispec.Descriptor, exact platforms.Matcher, matcher platforms.MatchComparer,
) (ocispec.Manifest, error) {
	children := images.FilterPlatforms(images.ChildrenHandler(provider{registry}), exact)
	return fetchAndLookUp(registry, root, children, matcher)
}

// fetchAndLookUp downloads what the handler leads to, and finds the image among it.
func fetchAndLookUp(
	registry blobs, root ocispec.Descriptor, children images.HandlerFunc, matcher platforms.MatchComparer,
) (ocispec.Manifest, error) {
	node := blobs{}
	fetch := images.HandlerFunc(func(_ context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		return nil, node.download(d, registry)
	})
	ctx := context.Background()
	if err := images.Walk(ctx, images.Handlers(fetch, children), root); err != nil {
		return ocispec.Manifest{}, err
	}
	manifest, err := images.Manifest(ctx, provider{node}, root, matcher)
	if err != nil {
		return manifest, err
	}
	_, err = images.RootFS(ctx, provider{node}, manifest.Config)
	return manifest, err
}

// provider is a content store as containerd 2 reads it.
type provider struct{ blobs }

func (p provider) ReaderAt(_ context.Context, descriptor ocispec.Descriptor) (content.ReaderAt, error) {
	return p.open(descriptor)
}

// describe tells an image that was found from one that was not, and both from a failure of the oracle itself.
func describe(manifest ocispec.Manifest, err error) (indexAnswer, error) {
	if errdefs.IsNotFound(err) {
		return indexAnswer{Error: err.Error()}, nil
	}
	if err != nil {
		return indexAnswer{}, err
	}
	chosen, err := positions(manifest.Annotations[positionAnnotation])
	return indexAnswer{Match: true, Chosen: chosen}, err
}
