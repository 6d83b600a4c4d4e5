package server

import (
	"testing"

	"github.com/google/uuid"
	"google.golang.org/protobuf/reflect/protoreflect"

	transfersv1 "internaltransfers/gen/transfers/v1"
)

// TestPlainTransferPaysForNoOptions: reading a plain transfer allocates nothing for options.
func TestPlainTransferPaysForNoOptions(t *testing.T) {
	req := &transfersv1.CreateTransferRequest{
		TransferId: uuid.NewString(), FromAccountId: uuid.NewString(), ToAccountId: uuid.NewString(), Amount: "20.10",
	}
	if params, err := transferParams(req); err != nil || params.Options != nil {
		t.Errorf("%v, %v", params.Options, err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = transferOptions(req) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	req.UpTo = true
	if params, err := transferParams(req); err != nil || params.Options == nil || !params.Options.UpTo {
		t.Errorf("%v, %v", params.Options, err)
	}
}

// TestNoOptionIsOverlooked sets each field that a plain transfer has not, one by one.
func TestNoOptionIsOverlooked(t *testing.T) {
	t.Parallel()
	plain := map[string]bool{
		"transfer_id": true, "from_account_id": true, "to_account_id": true, "amount": true, "currency": true, "reference": true, "metadata": true,
	}
	fields := (&transfersv1.CreateTransferRequest{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		req := &transfersv1.CreateTransferRequest{}
		m, field := req.ProtoReflect(), fields.Get(i)
		if plain[string(field.Name())] {
			continue
		}
		m.Set(field, nonZero(m, field))
		if isPlain(req) {
			t.Errorf("a transfer with %s is taken for a plain one", field.Name())
		}
	}
}

func nonZero(m protoreflect.Message, field protoreflect.FieldDescriptor) protoreflect.Value {
	switch field.Kind() {
	case protoreflect.MessageKind:
		return m.NewField(field)
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(1)
	default:
		return protoreflect.ValueOfString("1")
	}
}
