package resources

import "k8s.io/apimachinery/pkg/util/version"

// IsDowngrade reports whether a version is of a lower minor or major release than another one. What nobody can read is none.
func IsDowngrade(wanted, running string) bool {
	to, err := version.ParseSemantic(wanted)
	if err != nil {
		return false
	}
	from, err := version.ParseSemantic(running)
	return err == nil && (to.Major() < from.Major() || to.Major() == from.Major() && to.Minor() < from.Minor())
}
