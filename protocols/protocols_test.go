package protocols

import (
	"fmt"
	"slices"
	"testing"
)

func TestRepeatedFindsUIDsThatStandTwice(t *testing.T) {
	for _, tt := range []struct {
		uids []string
		want string
	}{
		{nil, "[]"},
		{[]string{"a"}, "[]"},
		{[]string{"", "", "a"}, "[]"},
		{[]string{"a", "b", "a", "c", "a", "", "c"}, "[[1 3 5] [4 7]]"},
	} {
		var items []Item
		for i, uid := range tt.uids {
			items = append(items, Item{Num: i + 1, UID: uid})
		}
		var nums [][]int
		for _, same := range Repeated(items) {
			var n []int
			for _, it := range same {
				n = append(n, it.Num)
			}
			nums = append(nums, n)
		}
		slices.SortFunc(nums, slices.Compare)
		if got := fmt.Sprint(nums); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.uids, got, tt.want)
		}
	}
}
