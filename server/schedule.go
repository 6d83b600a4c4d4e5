package server

import (
	"context"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// A scheduleService implements transfers.v1.ScheduleService.
type scheduleService struct {
	ledger *postgres.Ledger
}

// CreateSchedule makes a schedule.
func (s *scheduleService) CreateSchedule(
	ctx context.Context, req *transfersv1.CreateScheduleRequest,
) (*transfersv1.CreateScheduleResponse, error) {
	params, err := scheduleParams(req)
	if err != nil {
		return nil, err
	}
	params.NoIssue = mayNotIssue(ctx)
	schedule, replayed, err := s.ledger.CreateSchedule(ctx, params)
	if err != nil {
		return nil, err
	}
	if replayed {
		markReplayed(ctx)
	}
	return &transfersv1.CreateScheduleResponse{Schedule: scheduleToProto(&schedule)}, nil
}

func scheduleParams(req *transfersv1.CreateScheduleRequest) (ledger.ScheduleParams, error) {
	p := ledger.ScheduleParams{
		Cron: req.GetCron(), TimeZone: req.GetTimeZone(), MaxCount: req.MaxCount, Reference: req.GetReference(),
		Metadata: req.GetMetadata(), DryRun: req.GetValidateOnly(),
	}
	if req.GetCatchUp() != transfersv1.Schedule_CATCH_UP_UNSPECIFIED {
		p.CatchUp = ledger.CatchUp(req.GetCatchUp().String())
	}
	for _, id := range [...]struct {
		field, text string
		into        *uuid.UUID
	}{
		{"schedule_id", req.GetScheduleId(), &p.ID},
		{"from_account_id", req.GetFromAccountId(), &p.From},
		{"to_account_id", req.GetToAccountId(), &p.To},
	} {
		var err error
		if *id.into, err = parseID(id.field, id.text); err != nil {
			return p, err
		}
	}
	var err error
	if p.Amount, err = parseAmount("amount", req.GetAmount()); err != nil {
		return p, err
	}
	if p.Interval, err = parseDuration("interval", req.GetInterval()); err != nil {
		return p, err
	}
	if p.Start, err = parseTime("start_time", req.GetStartTime()); err != nil {
		return p, err
	}
	p.End, err = parseTime("end_time", req.GetEndTime())
	return p, err
}

// GetSchedule reads a schedule.
func (s *scheduleService) GetSchedule(
	ctx context.Context, req *transfersv1.GetScheduleRequest,
) (*transfersv1.GetScheduleResponse, error) {
	id, err := parseID("schedule_id", req.GetScheduleId())
	if err != nil {
		return nil, err
	}
	schedule, err := s.ledger.GetSchedule(ctx, id)
	if err != nil {
		return nil, err
	}
	return &transfersv1.GetScheduleResponse{Schedule: scheduleToProto(&schedule)}, nil
}

// ListSchedules reads a page of schedules.
func (s *scheduleService) ListSchedules(
	ctx context.Context, req *transfersv1.ListSchedulesRequest,
) (*transfersv1.ListSchedulesResponse, error) {
	account, err := parseID("account_id", req.GetAccountId())
	if err != nil {
		return nil, err
	}
	filter := postgres.ScheduleFilter{AccountID: account}
	if req.GetStatus() != transfersv1.Schedule_STATUS_UNSPECIFIED {
		filter.Status = ledger.ScheduleStatus(req.GetStatus().String())
	}
	schedules, token, err := s.ledger.ListSchedules(ctx, filter, pageOf(req))
	if err != nil {
		return nil, err
	}
	answer := &transfersv1.ListSchedulesResponse{NextPageToken: token, Schedules: make([]*transfersv1.Schedule, len(schedules))}
	for i := range schedules {
		answer.Schedules[i] = scheduleToProto(&schedules[i])
	}
	return answer, nil
}

// PauseSchedule keeps a schedule from making transfers.
func (s *scheduleService) PauseSchedule(
	ctx context.Context, req *transfersv1.PauseScheduleRequest,
) (*transfersv1.PauseScheduleResponse, error) {
	schedule, err := changeSchedule(ctx, s.ledger.PauseSchedule, req)
	return &transfersv1.PauseScheduleResponse{Schedule: schedule}, err
}

// ResumeSchedule lets a paused schedule go on.
func (s *scheduleService) ResumeSchedule(
	ctx context.Context, req *transfersv1.ResumeScheduleRequest,
) (*transfersv1.ResumeScheduleResponse, error) {
	schedule, err := changeSchedule(ctx, s.ledger.ResumeSchedule, req)
	return &transfersv1.ResumeScheduleResponse{Schedule: schedule}, err
}

// DeleteSchedule ends a schedule for good.
func (s *scheduleService) DeleteSchedule(
	ctx context.Context, req *transfersv1.DeleteScheduleRequest,
) (*transfersv1.DeleteScheduleResponse, error) {
	schedule, err := changeSchedule(ctx, s.ledger.DeleteSchedule, req)
	return &transfersv1.DeleteScheduleResponse{Schedule: schedule}, err
}

func changeSchedule(
	ctx context.Context, change func(ctx context.Context, id uuid.UUID, dryRun bool) (ledger.Schedule, error),
	req interface {
		GetScheduleId() string
		GetValidateOnly() bool
	},
) (*transfersv1.Schedule, error) {
	id, err := parseID("schedule_id", req.GetScheduleId())
	if err != nil {
		return nil, err
	}
	schedule, err := change(ctx, id, req.GetValidateOnly())
	if err != nil {
		return nil, err
	}
	return scheduleToProto(&schedule), nil
}

func scheduleToProto(s *ledger.Schedule) *transfersv1.Schedule {
	message := &transfersv1.Schedule{
		ScheduleId:      s.ID.String(),
		FromAccountId:   s.From.String(),
		ToAccountId:     s.To.String(),
		Amount:          amountText(s.Amount, s.Scale),
		Currency:        s.Currency,
		TimeZone:        s.TimeZone,
		StartTime:       timestamppb.New(s.Start),
		EndTime:         optionalTime(s.End),
		MaxCount:        s.MaxCount,
		CatchUp:         transfersv1.Schedule_CatchUp(transfersv1.Schedule_CatchUp_value[string(s.CatchUp)]),
		Reference:       s.Reference,
		Metadata:        s.Metadata,
		Status:          transfersv1.Schedule_Status(transfersv1.Schedule_Status_value[string(s.Status)]),
		NextTime:        optionalTime(s.Next),
		OccurrenceCount: s.OccurrenceCount,
		LastTransferId:  idText(s.LastTransferID),
		CreateTime:      timestamppb.New(s.CreateTime),
		UpdateTime:      timestamppb.New(s.UpdateTime),
		Version:         s.Version,
	}
	if s.Cron != "" {
		message.Recurrence = &transfersv1.Schedule_Cron{Cron: s.Cron}
	} else {
		message.Recurrence = &transfersv1.Schedule_Interval{Interval: durationpb.New(s.Interval)}
	}
	return message
}
