package server

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"buf.build/go/protovalidate"
	"connectrpc.com/connect"
	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"internaltransfers/internal/access"
	"internaltransfers/internal/events"
	"internaltransfers/ledger"
)

const (
	// errorDomain is the domain of every google.rpc.ErrorInfo we send.
	errorDomain = "transfers"
	// internalMessage is all that a client learns of an unexpected error. The log has the rest.
	internalMessage = "internal error; the log has the details under this call's x-request-id"
	// unavailableRetry is the retry delay while the database is away.
	unavailableRetry = time.Second
	// These bound the length of an error. gRPC sends it in headers, as a text and once more with
	// the details, and proxies limit all headers together: nginx to 4 KiB by default.
	violationsMax     = 10
	fieldBytesMax     = 150
	reasonBytesMax    = 350
	violationBytesMax = 500 // of all violations together
	errorBytesMax     = 600 // of its text
	detailBytesMax    = 200
)

// A violation is what is wrong with one field of a request.
type violation struct {
	field  string // its path, such as transfers[3].amount; empty: the request as a whole
	reason string
}

// An invalidError says that a request is malformed, field by field.
type invalidError struct {
	violations []violation
}

func (e *invalidError) Error() string {
	told := e.told()
	texts := make([]string, 0, len(told)+1)
	for _, v := range told {
		texts = append(texts, strings.TrimPrefix(v.field+": "+v.reason, ": "))
	}
	if more := len(e.violations) - len(told); more > 0 {
		texts = append(texts, "and "+strconv.Itoa(more)+" more")
	}
	return strings.Join(texts, "; ")
}

// told returns the violations that an error has room for, the first ones.
func (e *invalidError) told() []violation {
	told := make([]violation, 0, violationsMax)
	size := 0
	for _, v := range e.violations[:min(len(e.violations), violationsMax)] {
		v = violation{clip(v.field, fieldBytesMax), clip(v.reason, reasonBytesMax)}
		if size += len(v.field) + len(v.reason); size > violationBytesMax && len(told) > 0 {
			break
		}
		told = append(told, v)
	}
	return told
}

// invalidField refuses a request for one field.
func invalidField(field, reason string) error {
	return &invalidError{violations: []violation{{field, reason}}}
}

// A transferError is an error of a call for one transfer. When the transfer's outcome is unknown,
// the error has its id, which the client may never have seen.
type transferError struct {
	cause      error
	idField    string // where the call takes the id, such as transfer_id
	transferID string
}

func (e *transferError) Error() string { return e.cause.Error() }
func (e *transferError) Unwrap() error { return e.cause }

// unknownOutcome returns an error of a call that may have made the transfer all the same. A call
// that only validates makes none.
func unknownOutcome(err error, validateOnly bool, idField string, id uuid.UUID) error {
	if validateOnly || id == uuid.Nil {
		return err
	}
	return &transferError{cause: err, idField: idField, transferID: id.String()}
}

// connectError maps errors to what clients see; nothing else does. An error that it does not know
// becomes `internal` with a fixed text.
func connectError(err error) *connect.Error {
	if ready := new(connect.Error); errors.As(err, &ready) {
		return ready
	}
	if invalid := asInvalid(err); invalid != nil {
		return invalidArgument(invalid)
	}
	if known := accessError(err); known != nil {
		return known
	}
	if limited, ok := errors.AsType[*rateError](err); ok {
		return limited.connectError()
	}
	var (
		refused    *refusedError
		notVoided  *ledger.RefusedError
		notFound   *ledger.NotFoundError
		conflict   *ledger.ConflictError
		version    *ledger.VersionError
		state      *ledger.StateError
		overloaded *ledger.OverloadedError
	)
	switch {
	case errors.As(err, &refused):
		return newError(refused.code(), refused, info(refused.reason(), refused.metadata()))
	case errors.As(err, &notVoided):
		return newError(connect.CodeFailedPrecondition, errors.New(notVoidedText(notVoided)),
			info(string(notVoided.Reason), map[string]string{"transfer_id": notVoided.Transfer.ID.String()}))
	case errors.As(err, &notFound):
		return newError(connect.CodeNotFound, notFound,
			info(strings.ToUpper(notFound.Kind)+"_NOT_FOUND", map[string]string{notFound.Kind + "_id": notFound.ID.String()}))
	case errors.As(err, &conflict):
		key := conflict.Kind + "_id"
		if conflict.Kind == "currency" {
			key = "code"
		}
		return newError(connect.CodeAlreadyExists, conflict,
			info(strings.ToUpper(conflict.Kind)+"_ALREADY_EXISTS", map[string]string{key: conflict.ID}))
	case errors.As(err, &version):
		return newError(connect.CodeAborted, version, info("VERSION_MISMATCH", map[string]string{
			cmp.Or(version.Kind, "account") + "_id": version.ID.String(),
			"expected_version":                      strconv.FormatInt(version.Expected, 10),
			"actual_version":                        strconv.FormatInt(version.Actual, 10),
		}))
	case errors.As(err, &state):
		return newError(connect.CodeFailedPrecondition, state,
			info(state.Reason, map[string]string{cmp.Or(state.Kind, "account") + "_id": state.ID.String()}))
	case errors.Is(err, ledger.ErrMayNotIssue):
		return permissionDenied(&access.PermissionError{Missing: access.MoneyIssue, What: "where an equity account pays"})
	case errors.As(err, &overloaded):
		return newError(connect.CodeResourceExhausted, overloaded, info("OVERLOADED", nil), retry(overloaded.RetryAfter))
	}
	return transientError(err)
}

// transientError maps errors that have nothing to do with the request. Its texts are fixed,
// whatever err wraps.
func transientError(err error) *connect.Error {
	var metadata map[string]string
	advice := "repeat the call; with the same ids it is applied at most once"
	if transfer := new(transferError); errors.As(err, &transfer) {
		metadata = map[string]string{"transfer_id": transfer.transferID}
		advice = "transfer " + transfer.transferID +
			" may or may not have happened: repeat the call with this " + transfer.idField + ", or read it"
	}
	switch {
	case errors.Is(err, ledger.ErrUnavailable):
		return newError(connect.CodeUnavailable, errors.New(unavailableText(err)+"; "+advice),
			info("DATABASE_UNAVAILABLE", metadata), retry(unavailableRetry))
	case errors.Is(err, events.ErrSlow):
		return newError(connect.CodeResourceExhausted, errors.New(events.ErrSlow.Error()+"; go on after the last cursor"),
			info("READER_TOO_SLOW", nil), retry(unavailableRetry))
	case errors.Is(err, ledger.ErrClosed):
		return newError(connect.CodeUnavailable, errors.New(ledger.ErrClosed.Error()+"; "+advice),
			info("SHUTTING_DOWN", metadata), retry(unavailableRetry))
	case errors.Is(err, context.DeadlineExceeded):
		return newError(connect.CodeDeadlineExceeded, errors.New("the call's deadline passed; "+advice),
			info("DEADLINE_EXCEEDED", metadata))
	case errors.Is(err, context.Canceled):
		return newError(connect.CodeCanceled, errors.New("the caller gave up; "+advice), info("CANCELED", metadata))
	default:
		return newError(connect.CodeInternal, errors.New(internalMessage), info("INTERNAL", nil))
	}
}

// asInvalid returns err as an *invalidError if it says that the request is malformed, else nil.
func asInvalid(err error) *invalidError {
	var (
		own    *invalidError
		domain *ledger.InvalidError
		coded  *decodeError
		rules  *protovalidate.ValidationError
	)
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &domain):
		return &invalidError{violations: []violation{{domain.Field, domain.Reason}}}
	case errors.As(err, &coded):
		return &invalidError{violations: []violation{{coded.field, coded.reason}}}
	case errors.As(err, &rules):
		own = &invalidError{violations: make([]violation, 0, len(rules.Violations))}
		for _, broken := range rules.Violations {
			field := protovalidate.FieldPathString(broken.Proto.GetField())
			own.violations = append(own.violations, violation{field, broken.Proto.GetMessage()})
		}
		return own
	case errors.Is(err, ledger.ErrPageToken):
		return &invalidError{violations: []violation{{"page_token", strings.TrimPrefix(ledger.ErrPageToken.Error(), "page_token ")}}}
	default:
		return nil
	}
}

// within names the fields of an invalid request as part of a greater one, such as transfers[3]. It
// leaves other errors as they are.
func within(parent string, err error) error {
	invalid := asInvalid(err)
	if invalid == nil {
		return err
	}
	moved := &invalidError{violations: make([]violation, len(invalid.violations))}
	for i, v := range invalid.violations {
		moved.violations[i] = violation{strings.TrimSuffix(parent+"."+v.field, "."), v.reason}
	}
	return moved
}

func invalidArgument(invalid *invalidError) *connect.Error {
	request := &errdetails.BadRequest{}
	for _, v := range invalid.told() {
		request.FieldViolations = append(request.FieldViolations, &errdetails.BadRequest_FieldViolation{
			Field: v.field, Description: v.reason,
		})
	}
	return newError(connect.CodeInvalidArgument, invalid, request, info("INVALID_ARGUMENT", nil))
}

func newError(code connect.Code, err error, details ...proto.Message) *connect.Error {
	if text := err.Error(); len(text) > errorBytesMax {
		err = errors.New(clip(text, errorBytesMax))
	}
	connectErr := connect.NewError(code, err)
	for _, message := range details {
		// The only failure is a message that cannot be encoded; the code and the text are worth
		// sending without it.
		if detail, err := connect.NewErrorDetail(message); err == nil {
			connectErr.AddDetail(detail)
		}
	}
	return connectErr
}

func info(reason string, metadata map[string]string) *errdetails.ErrorInfo {
	short := make(map[string]string, len(metadata))
	for name, value := range metadata {
		short[name] = clip(value, detailBytesMax)
	}
	return &errdetails.ErrorInfo{Reason: reason, Domain: errorDomain, Metadata: short}
}

func retry(after time.Duration) *errdetails.RetryInfo {
	return &errdetails.RetryInfo{RetryDelay: durationpb.New(after)}
}

// rpcStatus returns a Connect error as the google.rpc.Status that gRPC, REST and batch results
// carry.
func rpcStatus(err *connect.Error) *status.Status {
	answer := &status.Status{Code: int32(err.Code()), Message: err.Message()}
	for _, detail := range err.Details() {
		answer.Details = append(answer.Details, &anypb.Any{
			TypeUrl: "type.googleapis.com/" + detail.Type(),
			Value:   detail.Bytes(),
		})
	}
	return answer
}

// clip shortens a text to at most size bytes, at a character's end, and drops what is not UTF-8.
func clip(text string, size int) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	if len(text) <= size {
		return text
	}
	for size > 0 && !utf8.RuneStart(text[size]) {
		size--
	}
	return text[:size] + "…"
}
