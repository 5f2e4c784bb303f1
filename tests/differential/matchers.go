package main

import (
	"fmt"

	rc5 "github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	r021 "platform-gate.invalid/platforms/r021"
	rc1 "platform-gate.invalid/platforms/rc1"
	rc2 "platform-gate.invalid/platforms/rc2"
	rc4 "platform-gate.invalid/platforms/rc4"
)

// library is one release of containerd/platforms.
type library struct {
	only    func(ocispec.Platform) rc5.MatchComparer
	ordered func(...ocispec.Platform) rc5.MatchComparer
	matcher func(ocispec.Platform) rc5.Matcher
	// Whether Windows hosts order by os.version instead of by the list of Only.
	windowsComparer bool
	// Whether the matching of Windows versions is compiled on other systems.
	windows bool
	// Whether containerd 1.7 carries it.
	containerd17 bool
}

var libraries = map[string]library{
	"v0.2.1": {
		only:         func(p ocispec.Platform) rc5.MatchComparer { return r021.Only(p) },
		ordered:      func(p ...ocispec.Platform) rc5.MatchComparer { return r021.Ordered(p...) },
		matcher:      func(p ocispec.Platform) rc5.Matcher { return r021.NewMatcher(p) },
		containerd17: true,
	},
	"rc.1": {
		only:    func(p ocispec.Platform) rc5.MatchComparer { return rc1.Only(p) },
		ordered: func(p ...ocispec.Platform) rc5.MatchComparer { return rc1.Ordered(p...) },
		matcher: func(p ocispec.Platform) rc5.Matcher { return rc1.NewMatcher(p) },
		windows: true,
	},
	"rc.2": {
		only:            func(p ocispec.Platform) rc5.MatchComparer { return rc2.Only(p) },
		ordered:         func(p ...ocispec.Platform) rc5.MatchComparer { return rc2.Ordered(p...) },
		matcher:         func(p ocispec.Platform) rc5.Matcher { return rc2.NewMatcher(p) },
		windowsComparer: true,
		windows:         true,
	},
	"rc.4": {
		only:            func(p ocispec.Platform) rc5.MatchComparer { return rc4.Only(p) },
		ordered:         func(p ...ocispec.Platform) rc5.MatchComparer { return rc4.Ordered(p...) },
		matcher:         func(p ocispec.Platform) rc5.Matcher { return rc4.NewMatcher(p) },
		windowsComparer: true,
		windows:         true,
	},
	"rc.5": {
		only:            rc5.Only,
		ordered:         rc5.Ordered,
		matcher:         rc5.NewMatcher,
		windowsComparer: true,
		windows:         true,
	},
}

// windowsComparer is what Default() is on a Windows host since rc.2, where the type of that name is not exported: the
// bare matcher, and among what matches the greatest os.version as text.
type windowsComparer struct{ rc5.Matcher }

func (c windowsComparer) Less(a, b ocispec.Platform) bool {
	matchesA, matchesB := c.Match(a), c.Match(b)
	if matchesA && matchesB {
		return a.OSVersion > b.OSVersion
	}
	return matchesA && !matchesB
}

func libraryOf(name string, host ocispec.Platform) (library, error) {
	found, ok := libraries[name]
	switch {
	case !ok:
		return found, fmt.Errorf("unknown release of containerd/platforms %q", name)
	case host.OS == "windows" && !found.windows:
		return found, fmt.Errorf("%s matches Windows versions on Windows only", name)
	}
	return found, nil
}

// byDefault is Default() of a host whose DefaultSpec() is given.
func (l library) byDefault(host ocispec.Platform) rc5.MatchComparer {
	if host.OS == "windows" && l.windowsComparer {
		return windowsComparer{l.matcher(host)}
	}
	return l.only(host)
}

// statesOS fills in what an empty os means to a host: its own. The libraries ask the system that they are compiled
// for.
func statesOS(platform *ocispec.Platform, host ocispec.Platform) {
	if platform != nil && platform.OS == "" {
		platform.OS = host.OS
	}
}

func entriesStateOS(entries []entry, host ocispec.Platform) {
	for i := range entries {
		e := &entries[i]
		// An entry without a config of its own has its platform's.
		statesOS(e.Platform, host)
		statesOS(e.Config, host)
		if e.Index != nil {
			entriesStateOS(*e.Index, host)
		}
	}
}

type matcherQuestion struct {
	Library  string           `json:"library"`
	Host     ocispec.Platform `json:"host"`
	Platform ocispec.Platform `json:"platform"`
}

type matcherAnswer struct {
	Match bool `json:"match"`
}

// answerMatcher says whether a host's matcher takes one platform.
func answerMatcher(question matcherQuestion) (matcherAnswer, error) {
	library, err := libraryOf(question.Library, question.Host)
	if err != nil {
		return matcherAnswer{}, err
	}
	statesOS(&question.Platform, question.Host)
	return matcherAnswer{library.byDefault(question.Host).Match(question.Platform)}, nil
}
