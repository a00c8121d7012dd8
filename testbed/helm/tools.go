//go:build tools

// Package tools names the command that the test bed builds, so that go.mod holds what it needs.
package tools

import _ "helm.sh/helm/v4/cmd/helm"
