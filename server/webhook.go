package server

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/internal/events"
	"internaltransfers/internal/postgres"
	"internaltransfers/internal/webhook"
	"internaltransfers/ledger"
)

// overlapDefault is how long messages are signed with an old secret too when the call does not set
// it.
const overlapDefault = 24 * time.Hour

// A webhookService implements transfers.v1.WebhookService.
type webhookService struct {
	ledger       *postgres.Ledger
	allowPrivate bool // URLs in private networks
}

// EventJSON returns an event as webhooks carry it: transfers.v1.Event in JSON.
func EventJSON(e *events.Event) ([]byte, error) { return marshalJSON(nil, eventToProto(e)) }

// CreateWebhookEndpoint makes an endpoint.
func (s *webhookService) CreateWebhookEndpoint(
	ctx context.Context, req *transfersv1.CreateWebhookEndpointRequest,
) (*transfersv1.CreateWebhookEndpointResponse, error) {
	id, err := parseID("endpoint_id", req.GetEndpointId())
	if err != nil {
		return nil, err
	}
	filter, err := s.readEndpoint(req.GetUrl(), req.GetFilter())
	if err != nil {
		return nil, err
	}
	endpoint, secret, err := s.ledger.Webhooks.Create(ctx, webhook.Params{
		ID: id, URL: req.GetUrl(), Description: req.GetDescription(), Filter: filter,
	})
	if err != nil {
		return nil, err
	}
	answer := &transfersv1.CreateWebhookEndpointResponse{Endpoint: endpointToProto(&endpoint)}
	if secret == nil {
		markReplayed(ctx)
	} else {
		answer.Secret = webhook.SecretText(secret)
	}
	return answer, nil
}

// GetWebhookEndpoint reads an endpoint.
func (s *webhookService) GetWebhookEndpoint(
	ctx context.Context, req *transfersv1.GetWebhookEndpointRequest,
) (*transfersv1.GetWebhookEndpointResponse, error) {
	id, err := parseID("endpoint_id", req.GetEndpointId())
	if err != nil {
		return nil, err
	}
	endpoint, err := s.ledger.Webhooks.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return &transfersv1.GetWebhookEndpointResponse{Endpoint: endpointToProto(&endpoint)}, nil
}

// ListWebhookEndpoints reads a page of endpoints.
func (s *webhookService) ListWebhookEndpoints(
	ctx context.Context, req *transfersv1.ListWebhookEndpointsRequest,
) (*transfersv1.ListWebhookEndpointsResponse, error) {
	endpoints, token, err := s.ledger.Webhooks.List(ctx, pageOf(req))
	if err != nil {
		return nil, err
	}
	answer := &transfersv1.ListWebhookEndpointsResponse{
		NextPageToken: token, Endpoints: make([]*transfersv1.WebhookEndpoint, len(endpoints)),
	}
	for i := range endpoints {
		answer.Endpoints[i] = endpointToProto(&endpoints[i])
	}
	return answer, nil
}

// UpdateWebhookEndpoint changes an endpoint as a whole.
func (s *webhookService) UpdateWebhookEndpoint(
	ctx context.Context, req *transfersv1.UpdateWebhookEndpointRequest,
) (*transfersv1.UpdateWebhookEndpointResponse, error) {
	id, err := parseID("endpoint_id", req.GetEndpointId())
	if err != nil {
		return nil, err
	}
	filter, err := s.readEndpoint(req.GetUrl(), req.GetFilter())
	if err != nil {
		return nil, err
	}
	endpoint, err := s.ledger.Webhooks.Update(ctx, webhook.Change{
		ID: id, URL: req.GetUrl(), Description: req.GetDescription(), Filter: filter, Disabled: req.GetDisabled(),
	})
	if err != nil {
		return nil, err
	}
	return &transfersv1.UpdateWebhookEndpointResponse{Endpoint: endpointToProto(&endpoint)}, nil
}

// DeleteWebhookEndpoint deletes an endpoint for good.
func (s *webhookService) DeleteWebhookEndpoint(
	ctx context.Context, req *transfersv1.DeleteWebhookEndpointRequest,
) (*transfersv1.DeleteWebhookEndpointResponse, error) {
	id, err := parseID("endpoint_id", req.GetEndpointId())
	if err != nil {
		return nil, err
	}
	endpoint, err := s.ledger.Webhooks.Delete(ctx, id)
	if err != nil {
		return nil, err
	}
	return &transfersv1.DeleteWebhookEndpointResponse{Endpoint: endpointToProto(&endpoint)}, nil
}

// RotateWebhookSecret gives an endpoint a new secret.
func (s *webhookService) RotateWebhookSecret(
	ctx context.Context, req *transfersv1.RotateWebhookSecretRequest,
) (*transfersv1.RotateWebhookSecretResponse, error) {
	id, err := parseID("endpoint_id", req.GetEndpointId())
	if err != nil {
		return nil, err
	}
	overlap := overlapDefault
	if req.Overlap != nil {
		if overlap, err = parseDuration("overlap", req.GetOverlap()); err != nil {
			return nil, err
		}
	}
	endpoint, secret, err := s.ledger.Webhooks.RotateSecret(ctx, id, overlap)
	if err != nil {
		return nil, err
	}
	return &transfersv1.RotateWebhookSecretResponse{
		Endpoint: endpointToProto(&endpoint), Secret: webhook.SecretText(secret),
	}, nil
}

// ListWebhookDeliveries reads a page of an endpoint's deliveries.
func (s *webhookService) ListWebhookDeliveries(
	ctx context.Context, req *transfersv1.ListWebhookDeliveriesRequest,
) (*transfersv1.ListWebhookDeliveriesResponse, error) {
	id, err := parseID("endpoint_id", req.GetEndpointId())
	if err != nil {
		return nil, err
	}
	filter := webhook.DeliveryFilter{EndpointID: id}
	if req.GetStatus() != transfersv1.WebhookDelivery_STATUS_UNSPECIFIED {
		filter.Status = webhook.DeliveryStatus(req.GetStatus().String())
	}
	deliveries, token, err := s.ledger.Webhooks.ListDeliveries(ctx, filter,
		pageOf(req))
	if err != nil {
		return nil, err
	}
	answer := &transfersv1.ListWebhookDeliveriesResponse{
		NextPageToken: token, Deliveries: make([]*transfersv1.WebhookDelivery, len(deliveries)),
	}
	for i := range deliveries {
		d := &deliveries[i]
		answer.Deliveries[i] = &transfersv1.WebhookDelivery{
			Cursor: cursorText(d.Position), MessageId: webhook.MessageID(d.Position),
			Status:   transfersv1.WebhookDelivery_Status(transfersv1.WebhookDelivery_Status_value[string(d.Status)]),
			Attempts: d.Attempts, NextAttemptTime: optionalTime(d.NextAttempt), LastAttemptTime: optionalTime(d.LastAttempt),
			LastFailure: d.Failure,
		}
	}
	return answer, nil
}

// RedeliverWebhookEvents delivers events again.
func (s *webhookService) RedeliverWebhookEvents(
	ctx context.Context, req *transfersv1.RedeliverWebhookEventsRequest,
) (*transfersv1.RedeliverWebhookEventsResponse, error) {
	id, err := parseID("endpoint_id", req.GetEndpointId())
	if err != nil {
		return nil, err
	}
	first, err := parseCursor("first_cursor", req.GetFirstCursor())
	if err != nil {
		return nil, err
	}
	var last *int64
	if req.GetLastCursor() != "" {
		position, err := parseCursor("last_cursor", req.GetLastCursor())
		if err != nil {
			return nil, err
		}
		last = &position
	}
	count, next, err := s.ledger.Webhooks.Redeliver(ctx, id, first, last)
	if err != nil {
		return nil, err
	}
	answer := &transfersv1.RedeliverWebhookEventsResponse{Count: int32(count)}
	if next != 0 {
		answer.NextCursor = cursorText(next)
	}
	return answer, nil
}

// readEndpoint checks an endpoint's URL and reads its filter.
func (s *webhookService) readEndpoint(url string, filter *transfersv1.EventFilter) (events.Filter, error) {
	if err := webhook.CheckURL(url, s.allowPrivate); err != nil {
		return events.Filter{}, invalidField("url", err.Error())
	}
	f := events.Filter{Currencies: filter.GetCurrencies()}
	for _, t := range filter.GetTypes() {
		f.Types = append(f.Types, events.Type(t.String()))
	}
	for _, status := range filter.GetStatuses() {
		f.Statuses = append(f.Statuses, ledger.TransferStatus(status.String()))
	}
	for _, text := range filter.GetAccountIds() {
		id, err := parseID("filter.account_ids", text)
		if err != nil {
			return events.Filter{}, err
		}
		f.AccountIDs = append(f.AccountIDs, id)
	}
	return f, nil
}

func endpointToProto(e *webhook.Endpoint) *transfersv1.WebhookEndpoint {
	return &transfersv1.WebhookEndpoint{
		EndpointId:          e.ID.String(),
		Url:                 e.URL,
		Description:         e.Description,
		Filter:              filterToProto(&e.Filter),
		Status:              transfersv1.WebhookEndpoint_Status(transfersv1.WebhookEndpoint_Status_value[string(e.Status)]),
		Cursor:              cursorText(e.Cursor),
		PendingCount:        e.Pending,
		DeadCount:           e.Dead,
		LastSuccessTime:     optionalTime(e.LastSuccess),
		LastFailureTime:     optionalTime(e.LastFailure),
		LastFailure:         e.Failure,
		OldSecretExpireTime: optionalTime(e.OldSecretExpire),
		CreateTime:          timestamppb.New(e.CreateTime),
		UpdateTime:          timestamppb.New(e.UpdateTime),
	}
}

func filterToProto(f *events.Filter) *transfersv1.EventFilter {
	message := &transfersv1.EventFilter{Currencies: f.Currencies}
	for _, t := range f.Types {
		message.Types = append(message.Types, transfersv1.Event_Type(transfersv1.Event_Type_value[string(t)]))
	}
	for _, status := range f.Statuses {
		message.Statuses = append(message.Statuses, transfersv1.Transfer_Status(transfersv1.Transfer_Status_value[string(status)]))
	}
	for _, id := range f.AccountIDs {
		message.AccountIds = append(message.AccountIds, id.String())
	}
	return message
}
