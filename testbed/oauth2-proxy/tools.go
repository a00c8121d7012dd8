//go:build tools

// Package tools names the command that the test bed builds, so that go.mod holds what it needs.
package tools

import _ "github.com/oauth2-proxy/oauth2-proxy/v7"
