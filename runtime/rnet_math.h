/* rnet_math.h: scalar functions that compiled code calls where it emits no vector code. libm's, under our names, so
   that compiled code needs rnet_* symbols only. */
#ifndef RNET_MATH_H
#define RNET_MATH_H

float rnet_erf_f32(float x);
double rnet_erf_f64(double x);
float rnet_sin_f32(float x);
double rnet_sin_f64(double x);
float rnet_cos_f32(float x);
double rnet_cos_f64(double x);
float rnet_pow_f32(float x, float y);
double rnet_pow_f64(double x, double y);
float rnet_log1p_f32(float x);
double rnet_log1p_f64(double x);
float rnet_expm1_f32(float x);
double rnet_expm1_f64(double x);

#endif
