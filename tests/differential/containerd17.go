package main

import (
	"context"

	"github.com/containerd/containerd/content"
	"github.com/containerd/containerd/images"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// provider17 is a content store as containerd 1.7 reads it.
type provider17 struct{ blobs }

func (p provider17) ReaderAt(_ context.Context, descriptor ocispec.Descriptor) (content.ReaderAt, error) {
	return p.open(descriptor)
}

// pull17 is pull with the code of containerd 1.7, which reads less of a config.
func pull17(registry blobs, root ocispec.Descriptor, matcher platforms.MatchComparer) (ocispec.Manifest, error) {
	node, ctx := blobs{}, context.Background()
	fetch := images.HandlerFunc(func(_ context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		return nil, node.download(d, registry)
	})
	children := images.FilterPlatforms(images.ChildrenHandler(provider17{registry}), matcher)
	children = images.LimitManifests(children, matcher, 1)
	if err := images.Walk(ctx, images.Handlers(fetch, children), root); err != nil {
		return ocispec.Manifest{}, err
	}
	manifest, err := images.Manifest(ctx, provider17{node}, root, matcher)
	if err != nil {
		return manifest, err
	}
	_, err = images.RootFS(ctx, provider17{node}, manifest.Config)
	return manifest, err
}
