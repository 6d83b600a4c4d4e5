package archive

import "slices"

// TableNames returns the names of the tables that are copied, in order.
func TableNames() []string {
	names := namesOf(tables)
	slices.Sort(names)
	return names
}
