/* SPDX-License-Identifier: MIT */
/*
 *   ┌ panel (hits of objects) ┐ ┌ panel (hits of bytes) ┐   legend
 *   │ grid, a curve a policy  │ │ if objects have sizes │   one line a policy
 */
#include "tiersim/report.h"

enum { PANEL_WIDTH = 420, PANEL_HEIGHT = 360, MARGIN = 50, LEGEND_WIDTH = 110, LINE_HEIGHT = 20, GRID_PERCENT = 10 };

/* Eight that colour-blind people can tell apart (Okabe and Ito, 2008); beyond them the lines are dashed. */
static const char *const colours[] = {"#000000", "#e69f00", "#56b4e9", "#009e73",
                                      "#999999", "#0072b2", "#d55e00", "#cc79a7"};

/* XML 1.0: what would be markup as references, what may not be there at all as a question mark. */
static void write_text(const char *text, FILE *to)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '&' || c == '<' || c == '>')
            (void)fprintf(to, "&#%d;", c);
        else
            (void)fputc(c < ' ' || c > '~' ? '?' : c, to);
    }
}

struct panel {
    const struct report *report;
    report_figure *figure;
    const char *what;
    int top_percent; /* the grid line above all curves */
};

static double x_at(size_t size)
{
    return MARGIN + (double)size * (PANEL_WIDTH - 2.0 * MARGIN) / (REPORT_SIZES - 1);
}

static double y_at(const struct panel *panel, double percent)
{
    return PANEL_HEIGHT - MARGIN - percent / panel->top_percent * (PANEL_HEIGHT - 2.0 * MARGIN);
}

static int top_of(const struct panel *panel)
{
    int top = GRID_PERCENT;
    for (size_t i = 0; i < panel->report->row_count; i++) {
        for (size_t s = 0; s < REPORT_SIZES; s++) {
            while (panel->figure(&panel->report->rows[i].results[s]) > top)
                top += GRID_PERCENT;
        }
    }
    return top;
}

static void write_line_style(size_t row, FILE *to)
{
    (void)fprintf(to, " fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\"%s/>\n", colours[row % ARRAY_LEN(colours)],
                  row < ARRAY_LEN(colours) ? "" : " stroke-dasharray=\"5 3\"");
}

static void write_grid(const struct panel *panel, FILE *to)
{
    for (int percent = 0; percent <= panel->top_percent; percent += GRID_PERCENT) {
        double y = y_at(panel, percent);
        (void)fprintf(to, "<path d=\"M%.1f %.1fH%.1f\" stroke=\"#ddd\"/>\n", x_at(0), y, x_at(REPORT_SIZES - 1));
        (void)fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%d</text>\n", x_at(0) - 6, y + 4, percent);
    }
    for (size_t s = 0; s < REPORT_SIZES; s++)
        (void)fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%u%%</text>\n", x_at(s),
                      y_at(panel, 0) + 16, panel->report->percent[s]);
    (void)fprintf(to, "<text x=\"%.1f\" y=\"%.1f\">hits of %s in %%, by size of the tier in %% of all</text>\n",
                  x_at(0), y_at(panel, panel->top_percent) - 12, panel->what);
}

static void write_panel(const struct report *report, report_figure *figure, const char *what, int left, FILE *to)
{
    struct panel panel = {.report = report, .figure = figure, .what = what};
    panel.top_percent = top_of(&panel);
    (void)fprintf(to, "<g transform=\"translate(%d 0)\">\n", left);
    write_grid(&panel, to);
    for (size_t i = 0; i < report->row_count; i++) {
        (void)fputs("<polyline points=\"", to);
        for (size_t s = 0; s < REPORT_SIZES; s++)
            (void)fprintf(to, "%.1f,%.1f ", x_at(s), y_at(&panel, figure(&report->rows[i].results[s])));
        (void)fputc('"', to);
        write_line_style(i, to);
    }
    (void)fputs("</g>\n", to);
}

static void write_legend(const struct report *report, int left, FILE *to)
{
    (void)fprintf(to, "<g transform=\"translate(%d %d)\">\n", left, MARGIN);
    for (size_t i = 0; i < report->row_count; i++) {
        int y = (int)i * LINE_HEIGHT;
        (void)fprintf(to, "<path d=\"M0 %dh20\"", y);
        write_line_style(i, to);
        (void)fprintf(to, "<text x=\"26\" y=\"%d\">%s</text>\n", y + 4, report->rows[i].policy);
    }
    (void)fputs("</g>\n", to);
}

void report_svg(const struct report *report, FILE *to)
{
    int panels = report->sized ? 2 : 1;
    int width = panels * PANEL_WIDTH + LEGEND_WIDTH;
    int height = MAX(PANEL_HEIGHT, 2 * MARGIN + (int)report->row_count * LINE_HEIGHT);
    (void)fprintf(
        to,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
        "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
        width, height);
    (void)fprintf(to, "<text x=\"%d\" y=\"18\" font-weight=\"bold\">", MARGIN);
    write_text(report->trace, to);
    (void)fputs("</text>\n", to);
    write_panel(report, replay_object_hit_percent, "objects", 0, to);
    if (report->sized)
        write_panel(report, replay_byte_hit_percent, "bytes", PANEL_WIDTH, to);
    write_legend(report, panels * PANEL_WIDTH, to);
    (void)fputs("</svg>\n", to);
}
