package server_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/server"
)

// scheduleRequest returns a request for a schedule that is far from due.
func scheduleRequest(from, to *transfersv1.Account) *transfersv1.CreateScheduleRequest {
	return &transfersv1.CreateScheduleRequest{
		ScheduleId: uuid.NewString(), FromAccountId: from.GetAccountId(), ToAccountId: to.GetAccountId(), Amount: "1.5",
		Recurrence: &transfersv1.CreateScheduleRequest_Cron{Cron: "30 2 1 * *"}, TimeZone: "Europe/Berlin",
	}
}

func createSchedule(t *testing.T, c client, req *transfersv1.CreateScheduleRequest) *transfersv1.Schedule {
	t.Helper()
	return mustCall(t, c, "ScheduleService/CreateSchedule", req, &transfersv1.CreateScheduleResponse{}).GetSchedule()
}

func getSchedule(t *testing.T, c client, id string) *transfersv1.Schedule {
	t.Helper()
	return mustCall(t, c, "ScheduleService/GetSchedule", &transfersv1.GetScheduleRequest{ScheduleId: id}, &transfersv1.GetScheduleResponse{}).GetSchedule()
}

func TestSchedules(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		a, b := open(t, c, "10"), open(t, c, "")
		start, end := timestamppb.New(time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC)), timestamppb.New(time.Date(2090, 6, 1, 0, 0, 0, 0, time.UTC))
		req := scheduleRequest(a, b)
		req.StartTime, req.EndTime, req.MaxCount, req.CatchUp = start, end, proto.Int64(12), transfersv1.Schedule_LATEST
		req.Reference, req.Metadata, req.ValidateOnly = "rent", map[string]string{"k": "v"}, true
		dry := createSchedule(t, c, req)
		if _, failed := c.call(t.Context(), "ScheduleService/GetSchedule", &transfersv1.GetScheduleRequest{ScheduleId: req.GetScheduleId()},
			&transfersv1.GetScheduleResponse{}); failed == nil {
			t.Error("a dry run made a schedule")
		}
		req.ValidateOnly = false
		made := createSchedule(t, c, req)
		want := &transfersv1.Schedule{
			ScheduleId: req.GetScheduleId(), FromAccountId: a.GetAccountId(), ToAccountId: b.GetAccountId(), Amount: "1.50", Currency: "USD",
			Recurrence: &transfersv1.Schedule_Cron{Cron: "30 2 1 * *"}, TimeZone: "Europe/Berlin", StartTime: start, EndTime: end,
			MaxCount: proto.Int64(12), CatchUp: transfersv1.Schedule_LATEST, Reference: "rent", Metadata: req.GetMetadata(),
			Status: transfersv1.Schedule_ACTIVE, NextTime: timestamppb.New(time.Date(2090, 1, 1, 1, 30, 0, 0, time.UTC)),
			CreateTime: made.GetCreateTime(), UpdateTime: made.GetCreateTime(), Version: 1,
		}
		requireEqual(t, made, want)
		want.CreateTime, want.UpdateTime = dry.GetCreateTime(), dry.GetCreateTime()
		requireEqual(t, dry, want)
		requireEqual(t, getSchedule(t, c, req.GetScheduleId()), made)
		again := &transfersv1.CreateScheduleResponse{}
		header, failed := c.call(t.Context(), "ScheduleService/CreateSchedule", req, again)
		if failed != nil || header.Get("Idempotency-Replayed") != "true" {
			t.Fatalf("again: %v, %v", header, failed)
		}
		requireEqual(t, again.GetSchedule(), made)
		req.Amount = "2"
		_, failed = c.call(t.Context(), "ScheduleService/CreateSchedule", req, again)
		requireInfo(t, failed, connect.CodeAlreadyExists, "SCHEDULE_ALREADY_EXISTS", "schedule_id", req.GetScheduleId())

		plain := createSchedule(t, c, &transfersv1.CreateScheduleRequest{
			FromAccountId: b.GetAccountId(), ToAccountId: a.GetAccountId(), Amount: "3",
			Recurrence: &transfersv1.CreateScheduleRequest_Interval{Interval: durationpb.New(90*time.Minute + 250*time.Millisecond)},
		})
		if plain.GetInterval().AsDuration() != 90*time.Minute+250*time.Millisecond || plain.GetReference() != plain.GetScheduleId() ||
			plain.GetCatchUp() != transfersv1.Schedule_ALL || plain.GetTimeZone() != "" || plain.EndTime != nil || plain.MaxCount != nil ||
			!proto.Equal(plain.GetNextTime(), plain.GetCreateTime()) {
			t.Errorf("by interval: %v", plain)
		}
		changeSchedules(t, c, plain.GetScheduleId())
		listSchedules(t, c, a, made, getSchedule(t, c, plain.GetScheduleId()))
	})
}

// changeSchedules pauses, resumes and deletes a schedule.
func changeSchedules(t *testing.T, c client, id string) {
	t.Helper()
	version := int64(1)
	for _, step := range []struct {
		method string
		dry    bool
		status transfersv1.Schedule_Status
		grows  int64
	}{
		{"Pause", true, transfersv1.Schedule_PAUSED, 0}, {"Pause", false, transfersv1.Schedule_PAUSED, 1}, {"Pause", false, transfersv1.Schedule_PAUSED, 0},
		{"Resume", true, transfersv1.Schedule_ACTIVE, 0}, {"Resume", false, transfersv1.Schedule_ACTIVE, 1}, {"Resume", false, transfersv1.Schedule_ACTIVE, 0},
		{"Delete", true, transfersv1.Schedule_DELETED, 0}, {"Delete", false, transfersv1.Schedule_DELETED, 1}, {"Delete", false, transfersv1.Schedule_DELETED, 0},
	} {
		req := map[string]proto.Message{
			"Pause":  &transfersv1.PauseScheduleRequest{ScheduleId: id, ValidateOnly: step.dry},
			"Resume": &transfersv1.ResumeScheduleRequest{ScheduleId: id, ValidateOnly: step.dry},
			"Delete": &transfersv1.DeleteScheduleRequest{ScheduleId: id, ValidateOnly: step.dry},
		}[step.method]
		answer := mustCall(t, c, "ScheduleService/"+step.method+"Schedule", req, answerTo("ScheduleService/"+step.method+"Schedule"))
		got := answer.(interface{ GetSchedule() *transfersv1.Schedule }).GetSchedule()
		if version += step.grows; got.GetStatus() != step.status || (got.GetNextTime() != nil) != (step.status == transfersv1.Schedule_ACTIVE) {
			t.Errorf("%+v: %v", step, got)
		}
		if stored := getSchedule(t, c, id); stored.GetVersion() != version || !step.dry && !proto.Equal(stored, got) {
			t.Errorf("%+v: stored %v", step, stored)
		}
	}
	for _, method := range []string{"Pause", "Resume"} {
		req := proto.Message(&transfersv1.PauseScheduleRequest{ScheduleId: id})
		if method == "Resume" {
			req = &transfersv1.ResumeScheduleRequest{ScheduleId: id}
		}
		_, failed := c.call(t.Context(), "ScheduleService/"+method+"Schedule", req, answerTo("ScheduleService/"+method+"Schedule"))
		requireInfo(t, failed, connect.CodeFailedPrecondition, "SCHEDULE_DELETED", "schedule_id", id)
	}
}

// listSchedules reads the schedules of an account, oldest first, in all ways.
func listSchedules(t *testing.T, c client, account *transfersv1.Account, active, deleted *transfersv1.Schedule) {
	t.Helper()
	for _, list := range []struct {
		req  *transfersv1.ListSchedulesRequest
		want []*transfersv1.Schedule
	}{
		{&transfersv1.ListSchedulesRequest{AccountId: account.GetAccountId()}, []*transfersv1.Schedule{deleted, active}},
		{&transfersv1.ListSchedulesRequest{AccountId: account.GetAccountId(), Status: transfersv1.Schedule_DELETED}, []*transfersv1.Schedule{deleted}},
		{&transfersv1.ListSchedulesRequest{AccountId: account.GetAccountId(), Status: transfersv1.Schedule_PAUSED}, nil},
		{&transfersv1.ListSchedulesRequest{AccountId: uuid.NewString()}, nil},
		{&transfersv1.ListSchedulesRequest{AccountId: uuid.Max.String()}, nil},
	} {
		var got []*transfersv1.Schedule
		list.req.PageSize = 1
		for more := true; more; more = list.req.GetPageToken() != "" {
			page := mustCall(t, c, "ScheduleService/ListSchedules", list.req, &transfersv1.ListSchedulesResponse{})
			got = append(got, page.GetSchedules()...)
			list.req.PageToken = page.GetNextPageToken()
		}
		if !slices.EqualFunc(got, list.want, func(a, b *transfersv1.Schedule) bool { return proto.Equal(a, b) }) {
			t.Errorf("%v: %v, want %v", list.req, got, list.want)
		}
	}
}

// TestScheduleErrors: every error has its code, and names the field or the account.
func TestScheduleErrors(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	grpc := f.protocol(t, "grpc")
	a, b, closed := open(t, grpc, "10"), open(t, grpc, ""), open(t, grpc, "")
	yen := mustCall(t, grpc, "AccountService/CreateAccount", &transfersv1.CreateAccountRequest{Currency: "JPY"}, &transfersv1.CreateAccountResponse{}).GetAccount()
	mustCall(t, grpc, "AccountService/UpdateAccount", &transfersv1.UpdateAccountRequest{Account: &transfersv1.Account{
		AccountId: closed.GetAccountId(), Status: transfersv1.Account_CLOSED,
	}}, &transfersv1.UpdateAccountResponse{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		for _, tc := range invalidSchedules(a, b) {
			_, failed := c.call(t.Context(), tc.method, tc.req, answerTo(tc.method))
			t.Run(tc.field, func(t *testing.T) { requireField(t, failed, tc.field) })
		}
		nobody := &transfersv1.Account{AccountId: uuid.NewString()}
		for reason, req := range map[string]*transfersv1.CreateScheduleRequest{
			"FROM_ACCOUNT_NOT_FOUND": scheduleRequest(nobody, b), "TO_ACCOUNT_NOT_FOUND": scheduleRequest(a, nobody),
			"CURRENCY_MISMATCH": scheduleRequest(a, yen), "ACCOUNT_CLOSED": scheduleRequest(closed, b),
		} {
			_, failed := c.call(t.Context(), "ScheduleService/CreateSchedule", req, &transfersv1.CreateScheduleResponse{})
			requireInfo(t, failed, connect.CodeFailedPrecondition, reason)
			if !strings.Contains(failed.Message(), "_account_id") {
				t.Errorf("%s: %v", reason, failed)
			}
		}
		id := uuid.NewString()
		for method, req := range map[string]proto.Message{
			"Get": &transfersv1.GetScheduleRequest{ScheduleId: id}, "Pause": &transfersv1.PauseScheduleRequest{ScheduleId: id},
			"Resume": &transfersv1.ResumeScheduleRequest{ScheduleId: id}, "Delete": &transfersv1.DeleteScheduleRequest{ScheduleId: id},
		} {
			_, failed := c.call(t.Context(), "ScheduleService/"+method+"Schedule", req, answerTo("ScheduleService/"+method+"Schedule"))
			requireInfo(t, failed, connect.CodeNotFound, "SCHEDULE_NOT_FOUND", "schedule_id", id)
		}
	})
	if list := mustCall(t, grpc, "ScheduleService/ListSchedules", &transfersv1.ListSchedulesRequest{}, &transfersv1.ListSchedulesResponse{}); len(list.GetSchedules()) != 0 {
		t.Errorf("refused requests left %v", list)
	}
}

func invalidSchedules(a, b *transfersv1.Account) []invalidRequest {
	create := func(field string, set func(r *transfersv1.CreateScheduleRequest)) invalidRequest {
		req := scheduleRequest(a, b)
		set(req)
		return invalidRequest{"ScheduleService/CreateSchedule", req, field}
	}
	cron := func(text string) invalidRequest {
		return create("cron", func(r *transfersv1.CreateScheduleRequest) {
			r.Recurrence = &transfersv1.CreateScheduleRequest_Cron{Cron: text}
		})
	}
	interval := func(d *durationpb.Duration) invalidRequest {
		return create("interval", func(r *transfersv1.CreateScheduleRequest) {
			r.TimeZone, r.Recurrence = "", &transfersv1.CreateScheduleRequest_Interval{Interval: d}
		})
	}
	past, future := timestamppb.New(time.Now().Add(-time.Hour)), timestamppb.New(time.Now().Add(time.Hour))
	return []invalidRequest{
		create("schedule_id", func(r *transfersv1.CreateScheduleRequest) { r.ScheduleId = "x" }),
		create("schedule_id", func(r *transfersv1.CreateScheduleRequest) { r.ScheduleId = uuid.Nil.String() }),
		create("from_account_id", func(r *transfersv1.CreateScheduleRequest) { r.FromAccountId = "" }),
		create("to_account_id", func(r *transfersv1.CreateScheduleRequest) { r.ToAccountId = r.GetFromAccountId() }),
		create("amount", func(r *transfersv1.CreateScheduleRequest) { r.Amount = "" }),
		create("amount", func(r *transfersv1.CreateScheduleRequest) { r.Amount = "0" }),
		create("amount", func(r *transfersv1.CreateScheduleRequest) { r.Amount = "-1" }),
		create("amount", func(r *transfersv1.CreateScheduleRequest) { r.Amount = "0.001" }),
		create("amount", func(r *transfersv1.CreateScheduleRequest) { r.Amount = strings.Repeat("9", 5000) }),
		create("recurrence", func(r *transfersv1.CreateScheduleRequest) { r.Recurrence = nil }),
		cron("* * * * *\x00"), cron("60 * * * *"), cron("* * * * * *"), cron("@reboot   "), cron("0 0 31 2 *"), cron("a b c d e"),
		cron(strings.Repeat("* ", 150)), cron("CRON_TZ=UTC * * * * *"), cron("0-4294967296 * * * *"), cron("TZ=0       "),
		interval(&durationpb.Duration{}), interval(&durationpb.Duration{Seconds: -5}), interval(&durationpb.Duration{Nanos: 999_999_999}),
		interval(&durationpb.Duration{Seconds: 5, Nanos: 1}), interval(&durationpb.Duration{Seconds: 3155760001}),
		create("time_zone", func(r *transfersv1.CreateScheduleRequest) { r.TimeZone = "Europe/Atlantis" }),
		create("time_zone", func(r *transfersv1.CreateScheduleRequest) { r.TimeZone = "../../../etc/passwd" }),
		create("time_zone", func(r *transfersv1.CreateScheduleRequest) { r.TimeZone = "Local" }),
		create("time_zone", func(r *transfersv1.CreateScheduleRequest) { r.TimeZone = "a\x00" }),
		create("time_zone", func(r *transfersv1.CreateScheduleRequest) { r.TimeZone = strings.Repeat("A", 65) }),
		create("time_zone", func(r *transfersv1.CreateScheduleRequest) {
			r.Recurrence = &transfersv1.CreateScheduleRequest_Interval{Interval: durationpb.New(time.Hour)}
		}),
		create("end_time", func(r *transfersv1.CreateScheduleRequest) { r.EndTime = past }),
		create("end_time", func(r *transfersv1.CreateScheduleRequest) { r.StartTime, r.EndTime = future, future }),
		create("end_time", func(r *transfersv1.CreateScheduleRequest) {
			r.Recurrence, r.EndTime = &transfersv1.CreateScheduleRequest_Cron{Cron: "0 0 29 2 0-7/7"}, future
		}),
		create("start_time", func(r *transfersv1.CreateScheduleRequest) {
			r.Recurrence = &transfersv1.CreateScheduleRequest_Cron{Cron: "* * * * *"}
			r.StartTime = timestamppb.New(time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC))
		}),
		create("max_count", func(r *transfersv1.CreateScheduleRequest) { r.MaxCount = proto.Int64(0) }),
		create("catch_up", func(r *transfersv1.CreateScheduleRequest) { r.CatchUp = 77 }),
		create("reference", func(r *transfersv1.CreateScheduleRequest) { r.Reference = "a\x00" }),
		create("reference", func(r *transfersv1.CreateScheduleRequest) { r.Reference = strings.Repeat("x", 201) }),
		create(`metadata[""]`, func(r *transfersv1.CreateScheduleRequest) { r.Metadata = map[string]string{"": "v"} }),
		{"ScheduleService/GetSchedule", &transfersv1.GetScheduleRequest{ScheduleId: "x"}, "schedule_id"},
		{"ScheduleService/PauseSchedule", &transfersv1.PauseScheduleRequest{ScheduleId: "x"}, "schedule_id"},
		{"ScheduleService/ResumeSchedule", &transfersv1.ResumeScheduleRequest{ScheduleId: "x"}, "schedule_id"},
		{"ScheduleService/DeleteSchedule", &transfersv1.DeleteScheduleRequest{ScheduleId: "x"}, "schedule_id"},
		{"ScheduleService/ListSchedules", &transfersv1.ListSchedulesRequest{PageSize: 1001}, "page_size"},
		{"ScheduleService/ListSchedules", &transfersv1.ListSchedulesRequest{PageToken: "AAAA"}, "page_token"},
		{"ScheduleService/ListSchedules", &transfersv1.ListSchedulesRequest{AccountId: "x"}, "account_id"},
	}
}

// TestHostileSchedules sends what no client would encode, by the method's name and by its route.
func TestHostileSchedules(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	grpc := f.protocol(t, "grpc")
	accounts := strings.NewReplacer("PAYER", open(t, grpc, "10").GetAccountId(), "PAYEE", open(t, grpc, "").GetAccountId())
	for _, tc := range []struct{ name, field, rest string }{
		{"interval as text", "interval", `"interval": "daily"`},
		{"interval as number", "interval", `"interval": 60`},
		{"interval out of range", "interval", `"interval": "999999999999999s"`},
		{"cron as array", "cron", `"cron": ["0", "0", "*", "*", "*"]`},
		{"both", "", `"cron": "0 0 * * *", "interval": "60s"`},
		{"neither", "recurrence", `"reference": "x"`},
		{"count as text", "max_count", `"cron": "0 0 * * *", "max_count": "many"`},
		{"half a count", "max_count", `"cron": "0 0 * * *", "max_count": 1.5`},
		{"time of no form", "start_time", `"cron": "0 0 * * *", "start_time": "tomorrow"`},
		{"time out of range", "end_time", `"cron": "0 0 * * *", "end_time": "10000-01-01T00:00:00Z"`},
		{"catch up by no name", "catch_up", `"cron": "0 0 * * *", "catch_up": "SOME"`},
		{"zone as number", "time_zone", `"cron": "0 0 * * *", "time_zone": 1`},
		{"unknown field", "crom", `"crom": "0 0 * * *"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			body := accounts.Replace(`{"from_account_id": "PAYER", "to_account_id": "PAYEE", "amount": 1, ` + tc.rest + `}`)
			for _, path := range []string{"/transfers.v1.ScheduleService/CreateSchedule", "/api/v1/schedules"} {
				res, text := f.send(t, http.MethodPost, path, body)
				if res.StatusCode != http.StatusBadRequest {
					t.Errorf("%s: status %d", path, res.StatusCode)
				}
				requireClientError(t, res, text, tc.field)
			}
		})
	}
	id := uuid.NewString()
	for _, tc := range []hostileRequest{
		{"delete with a body", "DELETE", "/api/v1/schedules/" + id, `{}`, nil, 400, "no body"},
		{"delete with a query of no form", "DELETE", "/api/v1/schedules/" + id + "?validate_only=maybe", "", nil, 400, "validate_only"},
		{"delete of no id", "DELETE", "/api/v1/schedules/x", "", nil, 400, "schedule_id"},
		{"delete of all", "DELETE", "/api/v1/schedules", "", nil, 405, "GET, POST"},
		{"delete of nothing", "DELETE", "/api/v1/schedules/" + id, "", nil, 404, id},
		{"unknown verb", "POST", "/api/v1/schedules/" + id + ":stop", `{}`, nil, 404, "route"},
		{"pause by GET", "GET", "/api/v1/schedules/" + id + ":pause", "", nil, 405, "POST"},
		{"status by no name", "GET", "/api/v1/schedules?status=SLEEPING", "", nil, 400, "status"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			res, text := f.send(t, tc.method, tc.path, tc.body, tc.header...)
			if res.StatusCode != tc.status {
				t.Errorf("status %d, want %d: %s", res.StatusCode, tc.status, text)
			}
			requireClientError(t, res, text, tc.field)
		})
	}
	if list := mustCall(t, grpc, "ScheduleService/ListSchedules", &transfersv1.ListSchedulesRequest{}, &transfersv1.ListSchedulesResponse{}); len(list.GetSchedules()) != 0 {
		t.Error(fmt.Sprint("refused requests left ", list))
	}
}
