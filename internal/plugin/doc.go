// Package plugin is `kubectl consul`: it shows ConsulClusters and steers them. It uses the rights of whoever runs it, and does
// nothing that the same person could not do with kubectl; docs/reference/kubectl-consul.md has a table of the rights that each
// command needs.
package plugin
