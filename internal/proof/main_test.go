package proof_test

import (
	"testing"

	"internaltransfers/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }
