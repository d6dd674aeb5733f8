/* SPDX-License-Identifier: MIT */
#include "base/rfc3339.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/limits.h"

enum {
    DATE_TIME_BYTES = 19, /* 2006-01-02T15:04:05 */
    MINUTE_S = 60,
    HOUR_S = 3600,
    DAY_S = 86400,
    ERA_DAYS = 146097,   /* 400 years of the Gregorian calendar */
    EPOCH_DAYS = 719468, /* from 0000-03-01 to 1970-01-01 */
    FRACTION_DIGITS = 9
};

/* Days since 1970, with years that begin in March so that the day of a leap year is the last one. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = y / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH_DAYS;
}

static void date_of(int64_t days, int64_t *ret_year, int64_t *ret_month, int64_t *ret_day)
{
    int64_t shifted = days + EPOCH_DAYS;
    int64_t era = shifted / ERA_DAYS;
    int64_t of_era = shifted - era * ERA_DAYS;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153;
    *ret_day = of_year - (153 * month + 2) / 5 + 1;
    *ret_month = month < 10 ? month + 3 : month - 9;
    *ret_year = year + era * 400 + (*ret_month <= 2);
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* Takes exactly count digits from the front of *in. */
static bool take_digits(struct span *in, size_t count, int64_t *ret_value)
{
    int64_t value = 0;
    if (in->len < count)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!is_digit(in->data[i]))
            return false;
        value = value * 10 + (in->data[i] - '0');
    }
    *in = span_skip(*in, count);
    *ret_value = value;
    return true;
}

static bool take_byte(struct span *in, uint8_t byte)
{
    if (in->len == 0 || in->data[0] != byte)
        return false;
    *in = span_skip(*in, 1);
    return true;
}

static bool take_date_time(struct span *in, int64_t *ret_seconds)
{
    static const uint8_t month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t year = 0;
    int64_t month = 0;
    int64_t day = 0;
    int64_t hour = 0;
    int64_t minute = 0;
    int64_t second = 0;
    bool well = take_digits(in, 4, &year) && take_byte(in, '-') && take_digits(in, 2, &month) && take_byte(in, '-') &&
                take_digits(in, 2, &day) && take_byte(in, 'T') && take_digits(in, 2, &hour) && take_byte(in, ':') &&
                take_digits(in, 2, &minute) && take_byte(in, ':') && take_digits(in, 2, &second);
    if (!well || month < 1 || month > 12 || hour > 23 || minute > 59 || second > 59)
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (day < 1 || day > month_days[month - 1] + (leap && month == 2))
        return false;
    *ret_seconds = days_of(year, month, day) * DAY_S + hour * HOUR_S + minute * MINUTE_S + second;
    return true;
}

/* A point and digits, or nothing. */
static bool take_fraction(struct span *in, int64_t *ret_ns)
{
    int64_t ns = 0;
    size_t digits = 0;
    if (!take_byte(in, '.')) {
        *ret_ns = 0;
        return true;
    }
    for (; digits < in->len && is_digit(in->data[digits]); digits++)
        if (digits < FRACTION_DIGITS)
            ns = ns * 10 + (in->data[digits] - '0');
    for (size_t i = digits; i < FRACTION_DIGITS; i++)
        ns *= 10;
    *in = span_skip(*in, digits);
    *ret_ns = ns;
    return digits > 0;
}

static bool take_offset(struct span *in, int64_t *ret_seconds)
{
    int64_t hours = 0;
    int64_t minutes = 0;
    *ret_seconds = 0;
    if (take_byte(in, 'Z'))
        return true;
    bool east = take_byte(in, '+');
    if (!east && !take_byte(in, '-'))
        return false;
    if (!take_digits(in, 2, &hours) || !take_byte(in, ':') || !take_digits(in, 2, &minutes) || hours > 23 ||
        minutes > 59)
        return false;
    *ret_seconds = (hours * HOUR_S + minutes * MINUTE_S) * (east ? 1 : -1);
    return true;
}

enum err rfc3339_parse(struct span text, uint64_t *ret_ns)
{
    int64_t seconds = 0;
    int64_t fraction = 0;
    int64_t offset = 0;
    if (text.len < DATE_TIME_BYTES + 1 || !take_date_time(&text, &seconds) || !take_fraction(&text, &fraction) ||
        !take_offset(&text, &offset) || text.len != 0)
        return ERR_INVALID;
    seconds -= offset;
    if (seconds < 0)
        *ret_ns = 0;
    else if ((uint64_t)seconds >= UINT64_MAX / SECOND_NS)
        *ret_ns = UINT64_MAX;
    else
        *ret_ns = (uint64_t)seconds * SECOND_NS + (uint64_t)fraction;
    return ERR_OK;
}

void rfc3339_format(uint64_t ns, char to[RFC3339_TEXT_MAX])
{
    int64_t year = 0;
    int64_t month = 0;
    int64_t day = 0;
    int64_t seconds = (int64_t)(ns / SECOND_NS);
    date_of(seconds / DAY_S, &year, &month, &day);
    int64_t of_day = seconds % DAY_S;
    int len = snprintf(to, RFC3339_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d.%09" PRIu64, (int)(year % 10000),
                       (int)(month % 100), (int)(day % 100), (int)(of_day / HOUR_S), (int)(of_day % HOUR_S / MINUTE_S),
                       (int)(of_day % MINUTE_S), ns % SECOND_NS);
    while (len > DATE_TIME_BYTES && (to[len - 1] == '0' || to[len - 1] == '.')) {
        bool point = to[len - 1] == '.';
        len--;
        if (point)
            break;
    }
    to[len] = 'Z';
    to[len + 1] = '\0';
}
