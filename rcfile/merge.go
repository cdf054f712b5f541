package rcfile

import "math/bits"

// mode says which side of a merge wins.
type mode uint8

const (
	fill     mode = iota // the destination: only what it lacks is taken over, except what an entry must state itself
	override             // the source
	extend               // the source; lists are added to
)

// merge takes over what was given in src.
func merge(dst, src target, m mode) {
	have, given := dst.set(), *src.set()
	rows := table().rows
	for word := range given {
		for rest := given[word]; rest != 0; rest &= rest - 1 {
			o := rows[word<<6+bits.TrailingZeros64(rest)]
			if m == fill && (have.has(o.index) || o.ownOnly) {
				continue
			}
			o.copy(dst, src, m == extend)
			have.add(o.index)
		}
	}
}

// copy takes over one field.
func (o *Option) copy(dst, src target, add bool) {
	switch from := o.at(src).(type) {
	case *string:
		*o.at(dst).(*string) = *from
	case *bool:
		*o.at(dst).(*bool) = *from
	case *int:
		*o.at(dst).(*int) = *from
	case *int64:
		*o.at(dst).(*int64) = *from
	case *Protocol:
		*o.at(dst).(*Protocol) = *from
	case *Auth:
		*o.at(dst).(*Auth) = *from
	case *[]string:
		copyList(o.at(dst).(*[]string), *from, add)
	case *[]int:
		copyList(o.at(dst).(*[]int), *from, add)
	case *[]Mapping:
		copyList(o.at(dst).(*[]Mapping), *from, add)
	}
	switch o.Name {
	case "daemon":
		dst.config.belowZero = src.config.belowZero
	case "envelope":
		dst.server.NoEnvelope = src.server.NoEnvelope
	}
}

// copyList never shares memory between stanzas: one entry must not change another.
func copyList[T any](dst *[]T, src []T, add bool) {
	if add {
		*dst = append((*dst)[:len(*dst):len(*dst)], src...)
	} else {
		*dst = src[:len(src):len(src)]
	}
}
