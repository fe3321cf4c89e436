/*
 * One process that has a data directory open, and does what it is told by lines on its standard input: a verb and its
 * arguments, separated by tabs. It answers each with one line: the name of the status, a tab, and what there is to tell
 * (on failure the error as JSON). `tokens` answers with a line for each of its threads. It ends with its input.
 *
 *     gcc -std=gnu11 -Iinclude worker.c -lmyq_exchange_online -pthread
 *
 * Tokens go to the driver, which is a test, over a pipe; they are printed nowhere.
 */

#define _GNU_SOURCE

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "myq_exchange_online.h"

#define LONGEST_LINE (256 * 1024)
#define MOST_ARGUMENTS 6
#define MOST_THREADS 64
/* More than any test waits for a token or a mail. */
#define PATIENCE_MS 60000

static mxo_connector *connector;
static mxo_operation *sign_in;
static mxo_events *events;

/* So that processes which know nothing of each other begin at the same moment. */
static void sleep_until(int64_t at_ms)
{
    struct timespec at = {.tv_sec = (time_t)(at_ms / 1000), .tv_nsec = (long)(at_ms % 1000) * 1000000};
    while (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &at, NULL) != 0) {
    }
}

static void answer(mxo_status status, const char *told, mxo_error *error)
{
    const char *name = mxo_status_name(status);
    const char *what = error != NULL ? mxo_error_json(error) : told;
    printf("%s\t%s\n", name != NULL ? name : "?", what != NULL ? what : "");
    fflush(stdout);
    mxo_error_free(error);
}

static void answer_value(mxo_status status, mxo_value *value, mxo_error *error)
{
    answer(status, value != NULL ? mxo_value_json(value) : NULL, error);
    mxo_value_free(value);
}

static void answer_text(mxo_status status, char *text, mxo_error *error)
{
    answer(status, text, error);
    mxo_string_free(text);
}

/* Who asks for a token in a thread of its own, and what it got. */
struct asker {
    pthread_t thread;
    const char *system;
    int64_t at_ms;
    mxo_status status;
    char *token;
    mxo_error *error;
};

static void *ask(void *data)
{
    struct asker *asker = data;
    sleep_until(asker->at_ms);
    asker->status =
        mxo_access_token(connector, asker->system, 0, PATIENCE_MS, &asker->token, NULL, &asker->error);
    return NULL;
}

static void tokens(const char *system, int count, int64_t at_ms)
{
    struct asker askers[MOST_THREADS] = {0};
    if (count > MOST_THREADS) {
        count = MOST_THREADS;
    }
    for (int i = 0; i < count; i++) {
        askers[i].system = system;
        askers[i].at_ms = at_ms;
        if (pthread_create(&askers[i].thread, NULL, ask, &askers[i]) != 0) {
            abort();
        }
    }
    for (int i = 0; i < count; i++) {
        pthread_join(askers[i].thread, NULL);
        answer_text(askers[i].status, askers[i].token, askers[i].error);
    }
}

static void token(const char *system, uint32_t min_validity_s)
{
    char *text = NULL;
    mxo_error *error = NULL;
    mxo_status status = mxo_access_token(connector, system, min_validity_s, PATIENCE_MS, &text, NULL, &error);
    answer_text(status, text, error);
}

/* User code, identifier of the sign-in, interval: as JSON, none of them holds anything that would have to be escaped. */
static void code(const char *system, uint32_t timeout_ms)
{
    char told[512];
    mxo_device_code *code = NULL;
    mxo_error *error = NULL;
    mxo_status status = mxo_sign_in_code(connector, system, NULL, timeout_ms, &code, &error);
    if (status != MXO_OK) {
        answer(status, NULL, error);
        return;
    }
    snprintf(told, sizeof told, "{\"user_code\": \"%s\", \"sign_in_id\": \"%s\", \"interval_s\": %lld}",
             mxo_device_code_user_code(code), mxo_device_code_sign_in_id(code),
             (long long)mxo_device_code_interval_s(code));
    answer(status, told, error);
    mxo_device_code_free(code);
}

static void do_as_told(const char *verb, char **arguments)
{
    const char *system = arguments[0];
    mxo_status status = MXO_OK;
    mxo_value *value = NULL;
    mxo_error *error = NULL;
    char *text = NULL;

    if (strcmp(verb, "open") == 0) {
        status = mxo_connector_open(arguments[0], &connector, &error);
        answer(status, NULL, error);
    } else if (strcmp(verb, "close") == 0) {
        mxo_connector_close(connector);
        connector = NULL;
        answer(MXO_OK, NULL, NULL);
    } else if (strcmp(verb, "at") == 0) {
        sleep_until(atoll(arguments[0]));
        answer(MXO_OK, NULL, NULL);
    } else if (strcmp(verb, "add") == 0) {
        status = mxo_system_add(connector, "Exchange", arguments[0], arguments[1], arguments[2], &text, &error);
        answer_text(status, text, error);
    } else if (strcmp(verb, "get") == 0) {
        status = mxo_system_get(connector, system, &value, &error);
        answer_value(status, value, error);
    } else if (strcmp(verb, "update") == 0) {
        status = mxo_system_update(connector, system, arguments[1], &error);
        answer(status, NULL, error);
    } else if (strcmp(verb, "remove") == 0) {
        status = mxo_system_remove(connector, system, &error);
        answer(status, NULL, error);
    } else if (strcmp(verb, "sign-out") == 0) {
        status = mxo_sign_out(connector, system, &error);
        answer(status, NULL, error);
    } else if (strcmp(verb, "start") == 0) {
        mxo_operation_free(sign_in);
        sign_in = NULL;
        status = mxo_sign_in_start(connector, system, NULL, NULL, NULL, NULL, &sign_in, &error);
        answer(status, NULL, error);
    } else if (strcmp(verb, "wait") == 0) {
        status = mxo_operation_wait(sign_in, (uint32_t)atoll(arguments[0]), &value, &error);
        answer_value(status, value, error);
    } else if (strcmp(verb, "code") == 0) {
        code(system, (uint32_t)atoll(arguments[1]));
    } else if (strcmp(verb, "state") == 0) {
        status = mxo_sign_in_state(connector, system, NULL, (uint32_t)atoll(arguments[1]), &value, &error);
        answer_value(status, value, error);
    } else if (strcmp(verb, "cancel") == 0) {
        status = mxo_sign_in_cancel(connector, system, NULL, &error);
        answer(status, NULL, error);
    } else if (strcmp(verb, "token") == 0) {
        token(system, (uint32_t)atoll(arguments[1]));
    } else if (strcmp(verb, "tokens") == 0) {
        tokens(system, atoi(arguments[1]), atoll(arguments[2]));
    } else if (strcmp(verb, "subscribe") == 0) {
        status = mxo_events_open(connector, arguments[0], &events, &error);
        answer(status, NULL, error);
    } else if (strcmp(verb, "event") == 0) {
        status = mxo_events_next(events, (uint32_t)atoll(arguments[0]), &value, &error);
        answer_value(status, value, error);
    } else {
        answer(MXO_E_ARGUMENT, verb, NULL);
    }
}

int main(void)
{
    static char line[LONGEST_LINE];

    while (fgets(line, sizeof line, stdin) != NULL) {
        char empty[] = "";
        char *rest = line;
        char *words[MOST_ARGUMENTS + 1];

        line[strcspn(line, "\n")] = '\0';
        for (int i = 0; i <= MOST_ARGUMENTS; i++) {
            char *word = strsep(&rest, "\t");
            words[i] = word != NULL ? word : empty;
        }
        do_as_told(words[0], words + 1);
    }
    mxo_operation_free(sign_in);
    mxo_events_close(events);
    mxo_connector_close(connector);
    return 0;
}
